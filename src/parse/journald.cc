#include "parse/journald.h"

#include <charconv>

#include "base/text.h"
#include "parse/exim.h"
#include "parse/exim_parser.h"
#include "parse/exim_split.h"
#include "parse/header.h"
#include "parse/postfix.h"
#include "parse/postfix_parser.h"
#include "parse/scan.h"

namespace bounced::parse {
namespace {

/// One MTA whose messages are found in journals as JSON.
struct Program {
  int (*probe)(std::string_view head);
  void (*parse)(const Context& context, Batch& batch);
  std::vector<Field> (*explain)(const Context& context, std::string_view line);
};
constexpr Program kPrograms[] = {
    {probe_postfix, parse_postfix, explain_postfix},
    {probe_exim, parse_exim, explain_exim},
};

const Program& program_of(std::string_view text) {
  const Program* best = kPrograms;
  int best_score = -1;
  for (const Program& program : kPrograms) {
    const int score = program.probe(text);
    if (score > best_score) {
      best_score = score;
      best = &program;
    }
  }
  return *best;
}

std::string_view without_nuls(std::string_view text) {
  const auto begin = text.find_first_not_of('\0');
  return text.substr(begin == std::string_view::npos ? text.size() : begin);
}

/// Whose entries a journal holds, by their identifiers.
struct Programs {
  bool exim = false, postfix = false;
};

Programs programs_in(std::string_view text) {
  constexpr std::string_view kName = "SYSLOG_IDENTIFIER";
  Programs found;
  for (std::size_t at = text.find(kName); at != std::string_view::npos; at = text.find(kName, at)) {
    at = std::min(text.find_first_not_of("\"=: ", at + kName.size()), text.size());
    const std::string_view value = text.substr(at, 8);
    found.exim = found.exim || is_exim_tag(value);
    found.postfix = found.postfix || starts(value, "postfix");
    if (found.exim && found.postfix) break;
  }
  return found;
}

/// A block in which both MTAs may have entries: each goes to its own parser. Both list names in the
/// batch, where a name must stand once: Exim's events go without.
class BothParsers {
 public:
  BothParsers(const Context& context, Batch& batch)
      : batch_(batch), postfix_(context, batch), exim_(context, batch) {
    postfix_.unjoined();
    exim_.unjoined();
  }
  void take(const Header& header, const char* line) {
    if (!is_exim_tag(header.tag)) return postfix_.take(header, line);
    const std::size_t before = batch_.events.size();
    exim_.take(header, line);
    for (std::size_t i = before; i < batch_.events.size(); ++i) {
      batch_.events[i].domain = batch_.events[i].host = 0;
    }
  }
  void finish() { postfix_.finish(); }

 private:
  Batch& batch_;
  PostfixParser postfix_;
  EximParser exim_;
};

/// Journal entries as JSON, of both.
void parse_mixed_json(const Context& context, Batch& batch) {
  BothParsers parsers(context, batch);
  HeaderReader headers;
  const std::string_view text = batch.block->text();
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    ++batch.counts.lines;
    if (line.size() > limits::kLineBytesMax) {
      line = line.substr(0, limits::kLineBytesMax);
      ++batch.counts.oversize;
    }
    Header header;
    if (headers.read(line, text.size() - at - line.size() + limits::kBlockPadding, header)) {
      parsers.take(header, line.data());
    } else {
      ++batch.counts.foreign;
    }
    at = end + 1;
  }
  batch.counts.bytes += text.size();
  parsers.finish();
}

/// The fields of an export record that we use.
struct ExportRecord {
  std::string_view time, source_time, host, program, pid, message;

  void set(std::string_view name, std::string_view value) {
    if (name == "__REALTIME_TIMESTAMP") time = value;
    if (name == "_HOSTNAME") host = value;
    if (name == "SYSLOG_IDENTIFIER") program = value;
    if (name == "_PID" || (name == "SYSLOG_PID" && pid.empty())) pid = value;
    if (name == "MESSAGE") message = value;
  }
  [[nodiscard]] bool read(Header& header) const {
    const char* const end = time.data() + time.size();
    if (time.empty() || std::from_chars(time.data(), end, header.time_us).ptr != end) return false;
    if (program.empty() || message.empty()) return false;
    header.stamp = time;
    header.host = host;
    header.tag = program;
    header.pid = pid;
    header.text = message;
    header.full_tag = true;
    return true;
  }
};

/// Walks the records of one block; `Parser` takes them.
template <class Parser>
class ExportReader {
 public:
  ExportReader(const Context& context, Batch& batch)
      : batch_(batch), parser_(context, batch), text_(batch.block->text()) {}

  void run() {
    while (at_ < text_.size()) record();
    batch_.counts.bytes += text_.size();
    parser_.finish();
  }

 private:
  void record() {
    const std::size_t begin = at_;
    const std::uint64_t first_line = lines_;
    ExportRecord found;
    bool whole = true;
    while (at_ < text_.size() && whole) {
      if (text_[at_] == '\n' || text_.substr(at_, 2) == "\r\n") break;
      whole = field(found);
    }
    if (at_ < text_.size()) end_line();  // the empty one
    const std::uint64_t lines = lines_ - first_line;
    batch_.counts.lines += lines;
    batch_.counts.ignored += lines - 1;
    Header header;
    if (found.read(header)) {
      parser_.take(header, text_.data() + begin);
    } else {
      ++batch_.counts.foreign;
    }
  }

  /// False when the field is damaged.
  bool field(ExportRecord& found) {
    const std::size_t end = std::min(text_.find('\n', at_), text_.size());
    const std::string_view line = text_.substr(at_, end - at_);
    const auto equals = line.find('=');
    at_ = end;
    end_line();
    if (equals != std::string_view::npos) {
      found.set(line.substr(0, equals), line.substr(equals + 1));
      return true;
    }
    return binary(line, found);
  }

  /// The value behind a line that holds its name only: 64 bits of size, little-endian, and bytes.
  bool binary(std::string_view name, ExportRecord& found) {
    if (text_.size() - at_ < 8) return false;
    std::uint64_t size = 0;
    for (std::size_t i = 8; i-- > 0;) {
      size = size << 8 | static_cast<unsigned char>(text_[at_ + i]);
    }
    if (size > text_.size() - at_ - 8) return false;
    const std::size_t begin = at_;
    at_ += 8 + size;
    for (const char c : text_.substr(begin, at_ - begin)) lines_ += c == '\n';
    found.set(name, text_.substr(begin + 8, size));
    if (at_ < text_.size() || text_.back() != '\n') end_line();
    return true;
  }

  void end_line() {
    if (at_ < text_.size()) at_ = std::min(text_.find('\n', at_), text_.size() - 1) + 1;
    ++lines_;
  }

  Batch& batch_;
  Parser parser_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::uint64_t lines_ = 0;
};

}  // namespace

int probe_journald(std::string_view head) {
  head = without_nuls(head);
  if (is_journal_export(head)) return 90;
  const std::string_view line = head.substr(0, head.find('\n'));
  if (!starts(line, "{") || line.find("\"__REALTIME_TIMESTAMP\"") == std::string_view::npos) {
    return -1;
  }
  const int score = program_of(head).probe(head);
  return score < 0 ? 5 : score + 1;  // it is the program's row, too
}

void parse_journald(const Context& context, Batch& batch) {
  const std::string_view text = without_nuls(batch.block->text());
  const Programs programs = programs_in(text);
  if (!text.empty() && text.front() == '{') {
    if (programs.exim && programs.postfix) return parse_mixed_json(context, batch);
    return program_of(text).parse(context, batch);
  }
  if (programs.exim) return ExportReader<BothParsers>(context, batch).run();
  ExportReader<PostfixParser>(context, batch).run();
}

std::vector<Field> explain_journald(const Context& context, std::string_view line) {
  return program_of(line).explain(context, line);
}

}  // namespace bounced::parse
