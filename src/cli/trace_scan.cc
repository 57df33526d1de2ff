#include "cli/trace_scan.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/hash.h"
#include "base/text.h"
#include "ingest/ingest.h"
#include "parse/header.h"

namespace bounced::cli {
namespace {

constexpr std::size_t kBitmapWords = 1024;

bool id_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

std::size_t bit_of(std::string_view id) {
  return static_cast<std::size_t>(hash64(id) & (kBitmapWords * 64 - 1));
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

// What addresses and message ids go on with; quotes, brackets, '=' and ':' stand around them in
// logs.
bool goes_on(char c) {
  return id_char(c) || static_cast<unsigned char>(c) >= 0x80 ||
         std::string_view("._%+-").find(c) != std::string_view::npos;
}

// False where the needle is a part of something longer: bob@example.com is neither
// jbob@example.com nor bob@example.com.au. A dot behind it may end a sentence.
bool stands_alone(std::string_view text, std::size_t at, std::string_view needle) {
  const bool name = needle.find('@') != std::string_view::npos;
  const auto more = [&](std::size_t i) {
    return i < text.size() && (name ? goes_on(text[i]) : id_char(text[i]));
  };
  if (at > 0 && more(at - 1)) return false;
  const std::size_t end = at + needle.size();
  return !more(end) || (text[end] == '.' && !more(end + 1));
}

}  // namespace

QueueIdSet::QueueIdSet(const std::unordered_set<std::string>& wanted,
                       const std::unordered_set<std::string>& without)
    : bitmap_(kBitmapWords) {
  for (const std::string& id : wanted) {
    if (without.count(id) != 0) continue;
    ids_.insert(id);
    const std::size_t bit = bit_of(id);
    bitmap_[bit / 64] |= std::uint64_t{1} << (bit % 64);
  }
}

bool QueueIdSet::has(std::string_view id) const {
  const std::size_t bit = bit_of(id);
  if ((bitmap_[bit / 64] >> (bit % 64) & 1) == 0) return false;
  return ids_.count(std::string(id)) != 0;
}

std::string_view queue_id_of(std::string_view line) {
  // "...[pid]: ID: text"; JSON lines carry "message":" ID: text".
  std::size_t at = line.find("]: ");
  if (at == std::string_view::npos || (!line.empty() && line.front() == '{')) {
    at = line.find("\"message\":\"");
    if (at != std::string_view::npos) at += 11;
  } else {
    at += 3;
  }
  if (at == std::string_view::npos) {
    // RFC 5424: "... - -  ID: text"
    at = line.find(" - - ");
    if (at == std::string_view::npos) return {};
    at += 5;
  }
  while (at < line.size() && line[at] == ' ') ++at;
  std::size_t end = at;
  while (end < line.size() && id_char(line[end])) ++end;
  if (end - at < 6 || end >= line.size() || line[end] != ':') return {};
  return line.substr(at, end - at);
}

std::string_view queued_as(std::string_view line) {
  for (const std::string_view mark :
       {std::string_view(" queued as "), std::string_view("(forwarded as ")}) {
    const std::size_t at = line.rfind(mark);
    if (at == std::string_view::npos) continue;
    const std::size_t begin = at + mark.size();
    std::size_t end = begin;
    while (end < line.size() && id_char(line[end])) ++end;
    if (end - begin >= 6 && end - begin <= 40) return line.substr(begin, end - begin);
  }
  return {};
}

std::int64_t line_time(std::string_view line, const std::string& timezone,
                       TimeResolver::State state, int year) {
  parse::HeaderReader reader;
  parse::Header header;
  auto resolver = TimeResolver::make(timezone, state, year);
  if (!resolver || !reader.read(line, 0, header)) return 0;
  return resolver->resolve(header.time_us, header.time_form);
}

Result<void> scan_lines_with(const std::string& path, std::string_view needle,
                             const VisitLine& visit) {
  const Finder finder(needle);
  return ingest::scan_files({path}, [&](const Block& block) {
    const std::string_view text = block.text();
    for (std::size_t at = finder.find(text, 0); at != std::string_view::npos;) {
      if (!stands_alone(text, at, needle)) {
        at = finder.find(text, at + 1);
        continue;
      }
      const std::size_t begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
      std::size_t end = text.find('\n', at);
      if (end == std::string_view::npos) end = text.size();
      if (!visit({text.substr(begin, end - begin), block.offset + begin, block.mtime_us}))
        return false;
      if (end >= text.size()) break;
      at = finder.find(text, end + 1);
    }
    return true;
  });
}

Result<void> scan_lines_of(const std::string& path, const QueueIdSet& wanted,
                           const VisitLine& visit) {
  return ingest::scan_files({path}, [&](const Block& block) {
    const std::string_view text = block.text();
    for (std::size_t begin = 0; begin < text.size();) {
      std::size_t end = text.find('\n', begin);
      if (end == std::string_view::npos) end = text.size();
      const std::string_view line = text.substr(begin, end - begin);
      // The id stands near the line's head; looking further would only find hostile text.
      const std::string_view id =
          queue_id_of(line.substr(0, std::min<std::size_t>(line.size(), 400)));
      if (!id.empty() && wanted.has(id)) {
        if (!visit({line, block.offset + begin, block.mtime_us})) return false;
      }
      begin = end + 1;
    }
    return true;
  });
}

}  // namespace bounced::cli
