#include "cli/trace_scan.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/hash.h"
#include "base/text.h"
#include "ingest/ingest.h"
#include "parse/parse.h"
#include "parse/scan.h"

namespace bounced::cli {
namespace {

bool id_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// What an address or a message id may be made of (RFC 5322 atext, the dot, and UTF-8).
bool word_char(char c) {
  if (id_char(c) || static_cast<unsigned char>(c) >= 0x80) return true;
  return std::string_view("!#$%&'*+-/?^_`{|}~.").find(c) != std::string_view::npos;
}

/// Whether [begin, end) of the text is not a part of a longer address or id. A full stop behind it
/// ends a sentence; an apostrophe that nothing precedes, or nothing follows, is a quotation mark.
bool is_whole(std::string_view text, std::size_t begin, std::size_t end) {
  const auto word_at = [&](std::size_t i) { return i < text.size() && word_char(text[i]); };
  const bool opened = begin > 0 && text[begin - 1] == '\'' && (begin == 1 || !word_at(begin - 2));
  if (begin > 0 && word_at(begin - 1) && !opened) return false;
  if (end == text.size()) return true;
  const bool closed = (text[end] == '.' || text[end] == '\'') && !word_at(end + 1);
  return closed || !(word_at(end) || text[end] == '@');
}

/// The ways in which a JSON line may write the text, the plain one first.
std::vector<std::string> spellings_of(std::string_view text) {
  std::vector<std::string> all{std::string(text)};
  for (const std::string_view escaped : {"\"\\", "\"\\/"}) {  // rsyslog escapes slashes, too
    std::string spelling;
    for (const char c : text) {
      if (escaped.find(c) != std::string_view::npos) spelling += '\\';
      spelling += c;
    }
    if (spelling != all.back()) all.push_back(std::move(spelling));
  }
  return all;
}

// memmem on the needle's rarest byte in both cases: memchr runs at tens of GB/s, and in mail logs
// letters of an address are far more common than its '@', digits or capitals.
class Finder {
 public:
  explicit Finder(std::string_view needle) : needle_(ascii_lower(needle)) {
    static constexpr std::string_view kCommon = "etaoinsrldcu.=<>-mpfghyw0123456789";
    std::size_t best = 0;
    for (std::size_t i = 0; i < needle_.size(); ++i) {
      const std::size_t rank = kCommon.find(needle_[i]);
      const std::size_t score = rank == std::string_view::npos ? 100 : rank;
      if (score >= best) {
        best = score;
        at_ = i;
      }
    }
    lower_ = needle_[at_];
    upper_ = lower_ >= 'a' && lower_ <= 'z' ? static_cast<char>(lower_ - 32) : lower_;
  }

  [[nodiscard]] std::size_t size() const { return needle_.size(); }

  /// First match at or after `from`; npos when there is none.
  [[nodiscard]] std::size_t find(std::string_view text, std::size_t from) const {
    std::size_t at = from + at_;
    std::size_t next_lower = at, next_upper = at;
    bool seek_lower = true, seek_upper = upper_ != lower_;
    if (!seek_upper) next_upper = text.size();
    while (at < text.size()) {
      if (seek_lower) next_lower = seek(text, at, lower_);
      if (seek_upper) next_upper = seek(text, at, upper_);
      at = std::min(next_lower, next_upper);
      if (at >= text.size()) break;
      seek_lower = next_lower == at;
      seek_upper = upper_ != lower_ && next_upper == at;
      const std::size_t begin = at - at_;
      if (begin + needle_.size() <= text.size() && matches(text.data() + begin)) return begin;
      ++at;
    }
    return std::string_view::npos;
  }

 private:
  static std::size_t seek(std::string_view text, std::size_t from, char c) {
    const void* hit = std::memchr(text.data() + from, c, text.size() - from);
    return hit == nullptr ? text.size()
                          : static_cast<std::size_t>(static_cast<const char*>(hit) - text.data());
  }
  [[nodiscard]] bool matches(const char* p) const {
    for (std::size_t i = 0; i < needle_.size(); ++i) {
      if (ascii_lower(p[i]) != needle_[i]) return false;
    }
    return true;
  }
  std::string needle_;
  std::size_t at_ = 0;
  char lower_ = 0, upper_ = 0;
};

}  // namespace

QueueIdSet::QueueIdSet(const std::unordered_set<std::string>& wanted,
                       const std::unordered_set<std::string>& without) {
  for (const std::string& id : wanted) {
    if (without.count(id) == 0) ids_.insert(id);
  }
  // A thirtieth of the bits at most: an address may have had a hundred thousand mails.
  bitmap_.resize(std::bit_ceil(std::max<std::size_t>(1024, ids_.size() / 2)));
  for (const std::string& id : ids_) {
    const std::size_t bit = hash64(id) % (bitmap_.size() * 64);
    bitmap_[bit / 64] |= std::uint64_t{1} << (bit % 64);
  }
}

bool QueueIdSet::has(std::string_view id) const {
  const std::size_t bit = hash64(id) % (bitmap_.size() * 64);
  if ((bitmap_[bit / 64] >> (bit % 64) & 1) == 0) return false;
  return ids_.count(std::string(id)) != 0;
}

/// In every form of header the id is the first word of its size before ": ".
bool QueueIdSet::may_have_line(std::string_view line) const {
  constexpr std::size_t kIdBytesMin = 6;
  const char* const begin = line.data();
  const char* const end = begin + line.size();
  for (const char* p = begin; p < end; ++p) {
    p = parse::find_byte(p, end, ':');
    if (end - p < 2 || p[1] != ' ') continue;
    const char* id = p;
    while (id > begin && id_char(id[-1])) --id;
    const std::string_view word(id, static_cast<std::size_t>(p - id));
    if (word.size() >= kIdBytesMin && has(word)) return true;
  }
  // Exim's ids have two dashes, the first one behind six characters, and nothing behind them but a
  // blank.
  constexpr std::ptrdiff_t kBeforeDash = 6;
  for (const char* p = parse::find_byte(begin, end, '-'); p < end;
       p = parse::find_byte(p + 1, end, '-')) {
    if (p - begin < kBeforeDash) continue;
    const char* const id = p - kBeforeDash;
    const char* const space = parse::find_byte(id, end, ' ');
    const std::string_view word(id, static_cast<std::size_t>(space - id));
    if (word.size() > 2 * kIdBytesMin && has(word)) return true;
  }
  return false;
}

bool QueueIdSet::may_have_record(std::string_view line) const {
  const char* const end = line.data() + line.size();
  for (const char* p = line.data(); p < end;) {
    const char* const quote = parse::find_byte(p, end, '"');
    const std::string_view word(p, static_cast<std::size_t>(quote - p));
    if (word.size() >= 6 && has(word)) return true;
    p = quote + 1;
  }
  return false;
}

namespace {

/// The word behind the last `mark`, when it can be an id.
std::string_view id_behind(std::string_view text, std::string_view mark) {
  const std::size_t at = text.rfind(mark);
  if (at == std::string_view::npos) return {};
  const std::size_t begin = at + mark.size();
  std::size_t end = begin;
  while (end < text.size() && (id_char(text[end]) || text[end] == '-')) ++end;
  return end - begin >= 6 && end - begin <= 40 ? text.substr(begin, end - begin)
                                               : std::string_view{};
}

}  // namespace

std::string_view queued_as(std::string_view text) {
  const bool exim = text.substr(0, 3) == "=> " || text.substr(0, 3) == "-> ";
  const std::size_t sent = text.find(exim ? " C=\"" : ", status=sent (");
  if (sent == std::string_view::npos) return {};
  text.remove_prefix(sent);
  for (const std::string_view mark :
       {std::string_view(" queued as "), std::string_view("(forwarded as "),
        std::string_view(" OK id=")}) {
    if (const std::string_view id = id_behind(text, mark); !id.empty()) return id;
  }
  return {};
}

FileTimes times_of(const std::string& path) {
  FileTimes times;
  (void)ingest::scan_files({path}, [&](const Block& block) {
    times.mtime_us = block.mtime_us;
    const std::string_view text = block.text();
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      if (const auto head = parse::read_line_head(text.substr(begin, end - begin))) {
        times.first = head->time_us;
        times.form = head->time_form;
        break;
      }
      begin = end + 1;
    }
    return false;
  });
  return times;
}

Result<void> scan_lines_with(const std::string& path, std::string_view needle,
                             const VisitLine& visit) {
  std::vector<Finder> finders;
  for (const std::string& spelling : spellings_of(needle)) finders.emplace_back(spelling);
  const auto scan = [&](const Block& block, const Finder& finder) {
    const std::string_view text = block.text();
    for (std::size_t at = finder.find(text, 0); at != std::string_view::npos;) {
      if (!is_whole(text, at, at + finder.size())) {
        at = finder.find(text, at + 1);
        continue;
      }
      const std::size_t begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
      const std::size_t end = std::min(text.find('\n', at), text.size());
      if (!visit({text.substr(begin, end - begin), block.offset + begin})) return false;
      if (end == text.size()) break;
      at = finder.find(text, end + 1);
    }
    return true;
  };
  return ingest::scan_files({path}, [&](const Block& block) {
    return std::all_of(finders.begin(), finders.end(),
                       [&](const Finder& finder) { return scan(block, finder); });
  });
}

Result<void> scan_lines_of(const std::string& path, const QueueIdSet& wanted,
                           const VisitLine& visit) {
  // Header and id stand near a line's head; looking further would only find hostile text. In a JSON
  // line the message may be the last of many fields.
  constexpr std::size_t kHeadBytes = 400;
  return ingest::scan_files({path}, [&](const Block& block) {
    const std::string_view text = block.text();
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      const std::string_view line = text.substr(begin, end - begin);
      const bool json = !line.empty() && line.front() == '{';
      if ((wanted.may_have_line(json ? line : line.substr(0, kHeadBytes)) ||
           (json && wanted.may_have_record(line))) &&
          !visit({line, block.offset + begin})) {
        return false;
      }
      begin = end + 1;
    }
    return true;
  });
}

}  // namespace bounced::cli
