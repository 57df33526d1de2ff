// bounced rules unknown: what no rule knows, as templates with rules to start from.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "base/text.h"
#include "classify/check.h"
#include "classify/normalise.h"
#include "classify/templates.h"
#include "cli/cmd_rules.h"
#include "cli/failures.h"

namespace bounced::cli {
namespace {

struct UnknownArgs {
  std::vector<std::string> files;
  std::string format = "text";
  std::size_t top = 20;
  std::uint64_t least = 1;
};

/// Counts by name, of at most kNames names; what comes later is in `others`.
class Tally {
 public:
  void add(const std::string& name) {
    if (name.empty()) return;
    if (counts_.size() < kNames || counts_.count(name) != 0) {
      ++counts_[name];
    } else {
      ++others_;
    }
  }
  /// Most first.
  [[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> top(std::size_t most) const {
    std::vector<std::pair<std::string, std::uint64_t>> all(counts_.begin(), counts_.end());
    std::stable_sort(all.begin(), all.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    if (all.size() > most) all.resize(most);
    return all;
  }
  [[nodiscard]] std::size_t size() const { return counts_.size() + (others_ != 0 ? 1 : 0); }
  [[nodiscard]] std::string text(std::size_t most) const {
    std::string text;
    for (const auto& [name, count] : top(most)) {
      text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", printable(name), count);
    }
    return size() > most ? text + ", ..." : text;
  }

 private:
  static constexpr std::size_t kNames = 256;
  std::map<std::string, std::uint64_t> counts_;
  std::uint64_t others_ = 0;
};

/// A reply that stands for its template: enough to be a rule's sample.
struct Example {
  std::string text, mta;
  std::uint16_t smtp_code = 0;
  EnhancedCode enhanced;
};

struct Unknown {
  std::uint64_t count = 0;
  Tally domains, codes, causes, deciders;
  std::vector<Example> examples;
  std::string template_text, stub;
};

std::string codes_of(const Explanation& why) {
  std::string text;
  if (why.smtp_code != 0) text = std::to_string(why.smtp_code);
  if (why.enhanced.present()) {
    text += fmt::format("{}{}.{}.{}", text.empty() ? "" : " ", why.enhanced.klass,
                        why.enhanced.subject, why.enhanced.detail);
  }
  return text;
}

/// A TOML basic string. What is no UTF-8 or no printable character is left out of samples: the
/// normaliser would repair it in its own way.
std::string toml_string(std::string_view text) {
  std::string json;
  append_json(json, printable(text));
  return json;
}

class Miner {
 public:
  static constexpr std::size_t kExamples = 3;

  Miner(std::shared_ptr<const RuleSet> rules, const std::vector<std::string>& sending_ips)
      : rules_(std::move(rules)), classifier_(rules_, {true, sending_ips}) {}

  void see(const FailureFacts& facts) {
    ++failures_;
    const Verdict verdict = classifier_.classify(facts.failure);
    const bool unknown =
        verdict.cause == Cause::unknown_temporary || verdict.cause == Cause::unknown_permanent;
    if (!unknown && classify::decided_by_text(*rules_, verdict)) return;
    ++unknown_;
    Explanation why;
    (void)classifier_.explain(facts.failure, why);
    const std::size_t number = templates_.add(why.normalised);
    if (number == classify::TemplateMiner::kNone) {
      ++rest_;
      return;
    }
    if (number >= found_.size()) found_.resize(number + 1);
    Unknown& found = found_[number];
    ++found.count;
    found.domains.add(ascii_lower(std::string(facts.failure.recipient_domain)));
    found.codes.add(codes_of(why));
    found.causes.add(std::string(cause_id(*rules_, verdict.cause)));
    found.deciders.add(std::string(rule_name(*rules_, verdict.rule)));
    add_example(found, facts.failure);
  }

  /// Most frequent first, with a rule for each that has words to look for.
  std::vector<Unknown> take(std::size_t top, std::uint64_t least) {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < found_.size(); ++i) {
      if (found_[i].count >= least) order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return found_[a].count > found_[b].count;
    });
    if (order.size() > top) order.resize(top);
    std::vector<Unknown> all;
    for (const std::size_t i : order) {
      found_[i].template_text = templates_.text(i);
      found_[i].stub = stub_of(found_[i], templates_.words(i));
      all.push_back(std::move(found_[i]));
    }
    return all;
  }
  [[nodiscard]] std::uint64_t failures() const { return failures_; }
  [[nodiscard]] std::uint64_t unknown() const { return unknown_; }
  [[nodiscard]] std::uint64_t rest() const { return rest_; }
  [[nodiscard]] std::size_t templates() const { return templates_.size(); }

 private:
  static void add_example(Unknown& found, const Failure& failure) {
    if (found.examples.size() >= kExamples) return;
    for (const Example& known : found.examples) {
      if (known.text == failure.diagnostic) return;
    }
    found.examples.push_back({std::string(failure.diagnostic), std::string(failure.mta_host),
                              failure.smtp_code, failure.enhanced});
  }

  std::string id_of(const std::string& literal) {
    std::string id = "own/";
    for (const char c : literal) {
      if (id.size() >= 40) break;
      const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
      if (plain)
        id += c;
      else if (id.back() != '-' && id.back() != '/')
        id += '-';
    }
    while (id.back() == '-') id.pop_back();
    if (id == "own/") id += "rule";
    std::string unique = id;
    for (int n = 2; !ids_.insert(unique).second; ++n) unique = id + "-" + std::to_string(n);
    return unique;
  }

  std::string stub_of(const Unknown& found, const std::vector<std::string>& words) {
    const std::vector<std::string> literals = classify::literals_of(words);
    if (literals.empty()) return {};
    std::string cause = found.causes.top(1).front().first;
    std::string stub = fmt::format("[[rule]]\nid = \"{}\"\ncause = \"{}\"  # by {}: choose\n",
                                   id_of(literals.front()), cause, found.deciders.text(2));
    stub += "confidence = 0.9\n";
    stub += literals.size() == 1 ? "any = [" : "all = [";
    for (std::size_t i = 0; i < literals.size(); ++i) {
      stub += (i == 0 ? "" : ", ") + toml_string(literals[i]);
    }
    stub += "]\nsamples = [\n";
    for (const Example& example : found.examples) {
      stub += "  { text = " + toml_string(example.text);
      if (example.smtp_code >= 200 && example.smtp_code < 600) {
        stub += fmt::format(", smtp = {}", example.smtp_code);
      }
      if (example.enhanced.present()) {
        stub += fmt::format(", enhanced = \"{}.{}.{}\"", example.enhanced.klass,
                            example.enhanced.subject, example.enhanced.detail);
      }
      if (!example.mta.empty()) stub += ", mta = " + toml_string(example.mta);
      stub += " },\n";
    }
    return stub + "]\n";
  }

  std::shared_ptr<const RuleSet> rules_;
  Classifier classifier_;
  classify::TemplateMiner templates_;
  std::vector<Unknown> found_;  ///< by template
  std::set<std::string> ids_;
  std::uint64_t failures_ = 0, unknown_ = 0, rest_ = 0;
};

/// Takes away the rules that would not pass `rules check`, or that would take over what others are
/// proved to know.
Result<void> drop_bad_stubs(const RuleSetOptions& options, std::vector<Unknown>& all) {
  std::string text;
  std::vector<std::pair<std::uint32_t, Unknown*>> begins;  // line of each
  std::uint32_t line = 1;
  for (Unknown& found : all) {
    if (found.stub.empty()) continue;
    begins.emplace_back(line, &found);
    text += found.stub;
    line += static_cast<std::uint32_t>(std::count(found.stub.begin(), found.stub.end(), '\n'));
  }
  if (text.empty()) return {};
  auto problems = classify::try_rules(options, text);
  if (!problems) return tl::unexpected(problems.error());
  for (const classify::Problem& problem : *problems) {
    auto at = std::upper_bound(begins.begin(), begins.end(), problem.line,
                               [](std::uint32_t l, const auto& b) { return l < b.first; });
    if (at != begins.begin()) (--at)->second->stub.clear();
  }
  return {};
}

std::string as_json(const Unknown& found) {
  std::string json = fmt::format("{{\"count\":{},\"template\":", found.count);
  append_json(json, found.template_text);
  for (const auto& [key, tally] :
       {std::pair{"domains", &found.domains}, std::pair{"codes", &found.codes},
        std::pair{"causes", &found.causes}, std::pair{"rules", &found.deciders}}) {
    json += fmt::format(",\"{}\":{{", key);
    bool first = true;
    for (const auto& [name, count] : tally->top(10)) {
      if (!first) json += ',';
      first = false;
      append_json(json, name);
      json += fmt::format(":{}", count);
    }
    json += '}';
  }
  json += ",\"examples\":[";
  for (std::size_t i = 0; i < found.examples.size(); ++i) {
    if (i != 0) json += ',';
    append_json(json, found.examples[i].text);
  }
  json += ']';
  if (!found.stub.empty()) {
    json += ",\"stub\":";
    append_json(json, found.stub);
  }
  return json + "}\n";
}

std::string as_text(const Unknown& found, std::size_t number) {
  std::string text = fmt::format("{}. {} x  now {} by {}\n", number, with_commas(found.count),
                                 found.causes.text(2), found.deciders.text(2));
  text += "   template  " + printable(found.template_text) + "\n";
  if (found.codes.size() != 0) text += "   codes     " + found.codes.text(4) + "\n";
  if (found.domains.size() != 0) text += "   domains   " + found.domains.text(4) + "\n";
  for (const Example& example : found.examples) {
    text += "   example   " + printable(example.text) + "\n";
  }
  if (found.stub.empty()) {
    return text + "   rule      none: no words of its own that only this could be about\n\n";
  }
  text += "   rule\n";
  for (std::size_t at = 0; at < found.stub.size();) {
    const std::size_t end = found.stub.find('\n', at);
    text += "     " + found.stub.substr(at, end - at) + "\n";
    at = end + 1;
  }
  return text + "\n";
}

void print(Io& io, const std::vector<Unknown>& all, const Miner& miner, const std::string& format) {
  if (format == "text") {
    io.out(fmt::format(
        "{} of {} failures are known by their codes alone or not at all: {} "
        "template(s){}\n\n",
        with_commas(miner.unknown()), with_commas(miner.failures()), miner.templates(),
        miner.rest() == 0 ? std::string()
                          : fmt::format(", and {} too unlike each other", miner.rest())));
  }
  std::size_t number = 0;
  for (const Unknown& found : all) {
    ++number;
    if (format == "ndjson") {
      io.out(as_json(found));
    } else if (format == "toml") {
      io.out(fmt::format("# {} x, template: {}\n{}\n", found.count, printable(found.template_text),
                         found.stub.empty() ? "# no words of its own\n" : found.stub));
    } else {
      io.out(as_text(found, number));
    }
  }
}

int unknown(App& app, const UnknownArgs& args) {
  auto config = app.config();
  if (!config) return app.io.report(config.error());
  auto options = rule_options(app, "");
  if (!options) return app.io.report(options.error());
  std::unique_ptr<Session> session;
  if (args.files.empty()) {
    auto opened = Session::read(app);
    if (!opened) return app.io.report(opened.error());
    session = std::move(*opened);
    options->known_causes = session->names().all(store::Dictionary::cause);
  }
  const auto rules = load_rules(*options);
  if (!rules) return app.io.report(rules.error());
  Miner miner(*rules, config->sending_ips);
  std::uint64_t malformed = 0;
  const auto see = [&](const FailureFacts& facts) { miner.see(facts); };
  const auto visited = session != nullptr ? visit_evidence(*session, see)
                                          : visit_files(app, args.files, see, malformed);
  if (!visited) return app.io.report(visited.error());
  std::vector<Unknown> all = miner.take(args.top, args.least);
  if (auto done = drop_bad_stubs(*options, all); !done) return app.io.report(done.error());
  print(app.io, all, miner, args.format);
  if (malformed != 0) {
    return app.io.report({ErrorCode::data, "rules unknown", "",
                          std::to_string(malformed) + " line(s) of malformed JSON", ""});
  }
  return all.empty() ? 1 : 0;
}

}  // namespace

void add_rules_unknown(CLI::App& rules, App& app) {
  CLI::App* command =
      rules.add_subcommand("unknown", "what no rule knows: templates, counts, rules to start from");
  auto args = std::make_shared<UnknownArgs>();
  command->add_option(
      "FILE", args->files,
      "logs, NDJSON or lines of diagnostics, - = stdin; none = the store's evidence");
  command->add_option("--format", args->format, "text, ndjson, or toml: the rules alone")
      ->check(CLI::IsMember({"text", "ndjson", "toml"}));
  command->add_option("--top", args->top, "at most so many templates (20)")
      ->check(CLI::Range(std::size_t{1}, std::size_t{4096}));
  command->add_option("--min", args->least, "only templates met at least so often");
  examples(*command,
           "  bounced rules unknown --data /var/lib/bounced       from the store's evidence\n"
           "  bounced rules unknown /var/log/mail.log*            from logs, no store needed\n"
           "  bounced rules unknown --format toml mail.log > own/found.toml && bounced rules check "
           "own\n\n"
           "{*} stands for words that vary. Each rule passes `rules check` as it is; its cause is "
           "what\nthe codes alone say: choose the right one. Exit status 1: nothing is unknown.");
  command->callback([&app, args] { app.run = [&app, args] { return unknown(app, *args); }; });
}

}  // namespace bounced::cli
