#include "classify/rule_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <span>
#include <sstream>

#include "base/embedded.h"
#include "base/text.h"
#include "classify/chars.h"

namespace bounced {
extern const std::span<const EmbeddedFile> rule_files;  // rules/*.toml without policy.toml
}

namespace bounced::classify {
namespace {

namespace fs = std::filesystem;
using std::string;
using std::string_view;

std::uint32_t line_of(const toml::node& node) {
  return static_cast<std::uint32_t>(node.source().begin.line);
}

/// Reads one [[rule]] or [[cause]] table; complaints carry the place.
class TableReader {
 public:
  TableReader(const toml::table& table, const string& file, RuleFiles& out)
      : table_(table), file_(file), out_(out), line_(line_of(table)) {}

  [[nodiscard]] std::uint32_t line() const { return line_; }
  void set_id(const string& id) { id_ = id; }

  void complain(std::uint32_t line, string message, string hint = {}) {
    out_.problems.push_back(
        {Problem::Level::error, file_, line, id_, std::move(message), std::move(hint)});
  }

  const toml::node* find(string_view key) {
    seen_.insert(string(key));
    return table_.get(key);
  }

  string text(string_view key, bool required = false) {
    const toml::node* node = find(key);
    if (node == nullptr) {
      if (required) complain(line_, "no `" + string(key) + "`");
      return {};
    }
    if (const auto value = node->value_exact<string>()) return *value;
    complain(line_of(*node), "`" + string(key) + "` must be a string");
    return {};
  }

  bool flag(string_view key) {
    const toml::node* node = find(key);
    if (node == nullptr) return false;
    if (const auto value = node->value_exact<bool>()) return *value;
    complain(line_of(*node), "`" + string(key) + "` must be true or false");
    return false;
  }

  /// A string or an array of strings; `each` gets text and line.
  template <class Each>
  void texts(string_view key, Each each) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    if (const auto value = node->value_exact<string>()) {
      each(*value, line_of(*node));
      return;
    }
    const toml::array* array = node->as_array();
    if (array == nullptr) {
      complain(line_of(*node), "`" + string(key) + "` must be a string or an array of strings");
      return;
    }
    if (array->empty()) complain(line_of(*node), "`" + string(key) + "` is empty");
    for (const toml::node& item : *array) {
      if (const auto value = item.value_exact<string>()) {
        each(*value, line_of(item));
      } else {
        complain(line_of(item), "`" + string(key) + "` holds something that is no string");
      }
    }
  }

  void list(string_view key, std::vector<string>& out) {
    texts(key, [&](const string& value, std::uint32_t line) {
      if (value.empty()) {
        complain(line, "`" + string(key) + "` holds an empty text");
      } else {
        out.push_back(value);
      }
    });
  }

  /// Unknown keys, with the nearest known one.
  void finish(const std::vector<string_view>& known) {
    for (const auto& [key, node] : table_) {
      const string name(key.str());
      if (seen_.count(name) != 0) continue;
      const string_view near = nearest(name, known);
      complain(line_of(node), "unknown key `" + name + "`",
               near.empty() ? string() : "did you mean `" + string(near) + "`?");
    }
  }

 private:
  const toml::table& table_;
  const string& file_;
  RuleFiles& out_;
  std::uint32_t line_;
  string id_;
  std::set<string> seen_;
};

const std::vector<string_view> kRuleKeys = {
    "id",   "cause",    "confidence", "any",      "with", "all",      "not",     "regex",
    "smtp", "enhanced", "phase",      "provider", "kind", "severity", "samples", "misses"};
const std::vector<string_view> kCauseKeys = {"id",
                                             "class",
                                             "fault",
                                             "category",
                                             "category_temporary",
                                             "category_permanent",
                                             "temporary_by_nature",
                                             "meaning",
                                             "advice"};
const std::vector<string_view> kSampleKeys = {"text",  "smtp", "enhanced",        "mta",
                                              "phase", "kind", "recipient_domain"};

void read_sample_table(const toml::table& table, TableReader& rule, Sample& out, RuleFiles& files,
                       const string& file, const string& id) {
  TableReader reader(table, file, files);
  reader.set_id(id);
  out.text = reader.text("text", true);
  out.mta = ascii_lower(reader.text("mta"));
  out.recipient_domain = ascii_lower(reader.text("recipient_domain"));
  if (const toml::node* node = reader.find("smtp")) {
    const auto number = node->value<std::int64_t>();
    const auto word = node->value_exact<string>();
    std::int64_t code = number.value_or(0);
    if (word && word->size() == 3 && is_reply_code(word->data())) code = reply_code(word->data());
    if (code < 200 || code > 599) {
      rule.complain(line_of(*node), "`smtp` of a sample must be a reply code");
    } else {
      out.smtp_code = static_cast<std::uint16_t>(code);
    }
  }
  if (const string code = reader.text("enhanced");
      !code.empty() && !parse_enhanced(code, out.enhanced)) {
    rule.complain(reader.line(), "`enhanced` of a sample must be like \"5.1.1\"");
  }
  if (const string word = reader.text("phase"); !word.empty() && !from_string(word, out.phase)) {
    rule.complain(reader.line(), "no such phase: " + word, "connect helo mail rcpt data eod");
  }
  if (const string word = reader.text("kind"); !word.empty() && !from_string(word, out.kind)) {
    rule.complain(reader.line(), "no such kind: " + word, "bounced deferred expired");
  }
  reader.finish(kSampleKeys);
}

void read_samples(string_view key, TableReader& reader, std::vector<Sample>& out, RuleFiles& files,
                  const string& file, const string& id) {
  const toml::node* node = reader.find(key);
  if (node == nullptr) return;
  const auto one = [&](const toml::node& item) {
    Sample sample;
    sample.line = line_of(item);
    if (const auto value = item.value_exact<string>()) {
      sample.text = *value;
    } else if (const toml::table* table = item.as_table()) {
      read_sample_table(*table, reader, sample, files, file, id);
    } else {
      reader.complain(sample.line, "`" + string(key) + "` holds neither a string nor a table");
      return;
    }
    out.push_back(std::move(sample));
  };
  if (const toml::array* array = node->as_array()) {
    for (const toml::node& item : *array) one(item);
  } else {
    one(*node);
  }
}

void read_predicates(TableReader& reader, Rule& rule) {
  reader.texts("smtp", [&](const string& text, std::uint32_t line) {
    CodePattern pattern;
    if (parse_code_pattern(text, pattern)) {
      rule.smtp.push_back(pattern);
    } else {
      reader.complain(line, "no reply code: `" + text + "`", "like \"550\", \"55x\" or \"5xx\"");
    }
  });
  reader.texts("enhanced", [&](const string& text, std::uint32_t line) {
    EnhancedPattern pattern;
    if (parse_enhanced_pattern(text, pattern)) {
      rule.enhanced.push_back(pattern);
    } else {
      reader.complain(line, "no enhanced code: `" + text + "`",
                      "like \"5.4.1\", \"5.7.x\" or \"x.2.2\"");
    }
  });
  reader.texts("phase", [&](const string& text, std::uint32_t line) {
    Phase phase = Phase::none;
    if (!text.empty() && from_string(text, phase) && phase != Phase::none) {
      rule.phases.push_back(phase);
    } else {
      reader.complain(line, "no such phase: `" + text + "`", "connect helo mail rcpt data eod");
    }
  });
  reader.texts("kind", [&](const string& text, std::uint32_t line) {
    EventKind kind = EventKind::none;
    if (from_string(text, kind) && kind != EventKind::none) {
      rule.kinds.push_back(kind);
    } else {
      reader.complain(line, "no such kind: `" + text + "`", "bounced deferred expired ...");
    }
  });
  reader.texts("provider", [&](const string& text, std::uint32_t line) {
    if (text.empty() || text.front() == '.' || text.back() == '.') {
      reader.complain(line, "no host name suffix: `" + text + "`",
                      "like \"protection.outlook.com\"");
    } else {
      rule.providers.push_back(ascii_lower(text));
    }
  });
}

void read_confidence(TableReader& reader, Rule& rule) {
  const toml::node* node = reader.find("confidence");
  if (node == nullptr) return;
  const auto value = node->value<double>();
  if (!value || !(*value > 0 && *value <= 1)) {
    reader.complain(line_of(*node), "`confidence` must be above 0 and at most 1");
    return;
  }
  rule.confidence = static_cast<std::uint8_t>(std::lround(*value * 100));
}

void read_rule(const toml::table& table, const string& file, std::uint32_t precedence,
               RuleFiles& out) {
  TableReader reader(table, file, out);
  Rule rule;
  rule.file = file;
  rule.line = reader.line();
  rule.precedence = precedence;
  rule.id = reader.text("id", true);
  reader.set_id(rule.id);
  rule.cause = reader.text("cause", true);
  read_confidence(reader, rule);
  reader.list("any", rule.any);
  reader.list("with", rule.with);
  reader.list("all", rule.all);
  reader.list("not", rule.none);
  reader.list("regex", rule.regex);
  read_predicates(reader, rule);
  if (const string word = reader.text("severity"); !word.empty()) {
    if (word == "permanent") {
      rule.severity = Severity::permanent;
    } else if (word == "temporary") {
      rule.severity = Severity::temporary;
    } else {
      reader.complain(rule.line, "no such severity: `" + word + "`", "temporary or permanent");
    }
  }
  read_samples("samples", reader, rule.samples, out, file, rule.id);
  read_samples("misses", reader, rule.misses, out, file, rule.id);
  reader.finish(kRuleKeys);
  if (!rule.has_text() && rule.predicates() == 0) {
    reader.complain(rule.line, "a rule needs `any`, `all`, `regex` or a predicate");
  }
  if (!rule.id.empty() && !rule.cause.empty()) out.rules.push_back(std::move(rule));
}

template <class Enum>
void read_enum(TableReader& reader, string_view key, Enum& out, bool required) {
  const string word = reader.text(key, required);
  if (!word.empty() && !from_string(word, out)) {
    reader.complain(reader.line(), "no such " + string(key) + ": `" + word + "`");
  }
}

void read_cause(const toml::table& table, const string& file, RuleFiles& out) {
  TableReader reader(table, file, out);
  CauseEntry entry;
  entry.file = file;
  entry.line = reader.line();
  CauseInfo& info = entry.info;
  info.id = reader.text("id", true);
  reader.set_id(info.id);
  read_enum(reader, "class", info.bounce_class, true);
  read_enum(reader, "fault", info.fault, true);
  Category both = Category::none;
  read_enum(reader, "category", both, false);
  info.category_temporary = info.category_permanent = both;
  read_enum(reader, "category_temporary", info.category_temporary, false);
  read_enum(reader, "category_permanent", info.category_permanent, false);
  info.temporary_by_nature = reader.flag("temporary_by_nature");
  info.meaning = reader.text("meaning", true);
  info.advice = reader.text("advice", true);
  reader.finish(kCauseKeys);
  if (!info.id.empty()) out.causes.push_back(std::move(entry));
}

Result<string> read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ErrorCode::io, "open rules", path.string(), std::strerror(errno));
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad()) return fail(ErrorCode::io, "read rules", path.string(), std::strerror(errno));
  return text.str();
}

/// Rule files of a directory (policy and presets are the state module's), or the one file named.
Result<std::vector<fs::path>> rule_paths(const string& where) {
  std::error_code error;
  if (fs::is_regular_file(where, error)) return std::vector<fs::path>{where};
  std::vector<fs::path> paths;
  fs::directory_iterator each(where, error);
  if (error) return fail(ErrorCode::io, "open rules", where, error.message());
  for (; each != fs::directory_iterator(); each.increment(error)) {
    if (error) return fail(ErrorCode::io, "read rules", where, error.message());
    const fs::path& path = each->path();
    if (path.extension() == ".toml" && path.filename() != "policy.toml") paths.push_back(path);
  }
  std::sort(paths.begin(), paths.end());
  if (paths.empty()) {
    return fail(ErrorCode::not_found, "open rules", where, "no *.toml file there");
  }
  return paths;
}

Result<void> read_from(const string& where, std::uint32_t precedence, RuleFiles& out) {
  auto paths = rule_paths(where);
  if (!paths) return tl::unexpected<Error>(paths.error());
  for (const fs::path& path : *paths) {
    auto text = read_file(path);
    if (!text) return tl::unexpected<Error>(text.error());
    read_rule_text(*text, path.string(), precedence, out);
  }
  return {};
}

bool read_number(string_view text, std::uint16_t& out) {
  if (text.empty() || text.size() > 3) return false;
  unsigned value = 0;
  for (const char c : text) {
    if (!is_digit(c)) return false;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  out = static_cast<std::uint16_t>(value);
  return true;
}

}  // namespace

string Problem::text() const {
  string words = file;
  if (line != 0) words += ":" + std::to_string(line);
  words += level == Level::warning ? ": warning: " : level == Level::note ? ": note: " : ": ";
  if (!rule.empty()) words += rule + ": ";
  words += message;
  if (!hint.empty()) words += "; " + hint;
  return words;
}

std::optional<Error> first_error(const std::vector<Problem>& problems) {
  std::size_t errors = 0;
  const Problem* first = nullptr;
  for (const Problem& problem : problems) {
    if (problem.level != Problem::Level::error) continue;
    if (errors++ == 0) first = &problem;
  }
  if (first == nullptr) return {};
  string where = first->file;
  if (first->line != 0) where += ":" + std::to_string(first->line);
  string why = first->rule.empty() ? first->message : first->rule + ": " + first->message;
  if (errors > 1) why += " (and " + std::to_string(errors - 1) + " more)";
  return Error{ErrorCode::data, "load rules", where, why,
               first->hint.empty() ? "see `bounced rules check`" : first->hint};
}

bool parse_code_pattern(string_view text, CodePattern& out) {
  if (text.size() != 3 || text[0] < '2' || text[0] > '5') return false;
  unsigned low = static_cast<unsigned>(text[0] - '0');
  unsigned high = low;
  bool open = false;
  for (const char c : text.substr(1)) {
    const bool any = c == 'x' || c == 'X';
    if ((!any && !is_digit(c)) || (open && !any)) return false;
    open = any;
    low = low * 10 + (any ? 0 : static_cast<unsigned>(c - '0'));
    high = high * 10 + (any ? 9 : static_cast<unsigned>(c - '0'));
  }
  out = {static_cast<std::uint16_t>(low), static_cast<std::uint16_t>(high)};
  return true;
}

bool parse_enhanced_pattern(string_view text, EnhancedPattern& out) {
  const auto first = text.find('.');
  const auto second = first == string_view::npos ? first : text.find('.', first + 1);
  if (first != 1 || second == string_view::npos) return false;
  const auto open = [](string_view part) { return part == "x" || part == "X"; };
  const string_view klass = text.substr(0, 1);
  const string_view subject = text.substr(2, second - 2);
  const string_view detail = text.substr(second + 1);
  if (!open(klass) && klass != "2" && klass != "4" && klass != "5") return false;
  out.klass = open(klass) ? std::uint8_t{0} : static_cast<std::uint8_t>(klass[0] - '0');
  out.subject = out.detail = 0xffff;
  if (!open(subject) && !read_number(subject, out.subject)) return false;
  return open(detail) || read_number(detail, out.detail);
}

bool parse_enhanced(string_view text, EnhancedCode& out) {
  EnhancedPattern pattern;
  if (!parse_enhanced_pattern(text, pattern) || pattern.klass == 0 || pattern.subject == 0xffff ||
      pattern.detail == 0xffff) {
    return false;
  }
  out.klass = pattern.klass;
  out.subject = pattern.subject;
  out.detail = pattern.detail;
  return true;
}

void read_rule_text(string_view text, const string& name, std::uint32_t precedence,
                    RuleFiles& out) {
  toml::table root;
  try {
    root = toml::parse(text, string_view(name));
  } catch (const toml::parse_error& error) {
    out.problems.push_back({Problem::Level::error, name,
                            static_cast<std::uint32_t>(error.source().begin.line), "",
                            string(error.description()), ""});
    return;
  }
  for (const auto& [key, node] : root) {
    const toml::array* array = node.as_array();
    const bool is_rule = key.str() == "rule";
    if ((!is_rule && key.str() != "cause") || array == nullptr ||
        !array->is_homogeneous<toml::table>()) {
      out.problems.push_back({Problem::Level::error, name, line_of(node), "",
                              "unknown key `" + string(key.str()) + "`",
                              "a rule file holds [[rule]] and [[cause]] tables"});
      continue;
    }
    for (const toml::node& item : *array) {
      if (is_rule) {
        read_rule(*item.as_table(), name, precedence, out);
      } else {
        read_cause(*item.as_table(), name, out);
      }
    }
  }
}

Result<RuleFiles> read_rule_files(const RuleSetOptions& options) {
  RuleFiles files;
  files.known_causes = options.known_causes;
  files.with_words = true;
  if (options.rules_dir.empty()) {
    for (const EmbeddedFile& file : rule_files) {
      read_rule_text(file.text, "rules/" + string(file.name), 0, files);
    }
  } else if (auto done = read_from(options.rules_dir, 0, files); !done) {
    return tl::unexpected<Error>(done.error());
  }
  // The first directory named is the strongest.
  auto precedence = static_cast<std::uint32_t>(options.operator_dirs.size());
  for (const string& where : options.operator_dirs) {
    if (auto done = read_from(where, precedence--, files); !done) {
      return tl::unexpected<Error>(done.error());
    }
  }
  return files;
}

}  // namespace bounced::classify
