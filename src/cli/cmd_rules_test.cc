// bounced rules test: an operator's own samples against the rules.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>

#include "base/text.h"
#include "cli/cmd_rules.h"
#include "cli/failure_input.h"

namespace bounced::cli {
namespace {

struct TestArgs {
  std::string dir, samples, format = "text";
};

/// What a sample wanted and did not get; empty when all is well.
std::string mismatch(const RuleSet& rules, const FailureInput& sample, const Verdict& verdict) {
  const std::string_view cause = cause_id(rules, verdict.cause);
  const std::string_view rule = rule_name(rules, verdict.rule);
  const auto differs = [](const char* what, std::string_view wanted, std::string_view got) {
    return fmt::format("{} is {}, not {}", what, got.empty() ? "none" : got, wanted);
  };
  if (!sample.cause.empty() && sample.cause != cause) return differs("cause", sample.cause, cause);
  if (!sample.rule.empty() && sample.rule != rule) return differs("rule", sample.rule, rule);
  if (!sample.bounce_class.empty() && sample.bounce_class != to_string(verdict.bounce_class)) {
    return differs("class", sample.bounce_class, to_string(verdict.bounce_class));
  }
  Category category = Category::none;
  if (!sample.category.empty() &&
      (!from_string(sample.category, category) || category != verdict.category)) {
    return differs("category", sample.category, to_string(verdict.category));
  }
  if (!sample.not_cause.empty() && sample.not_cause == cause) {
    return "cause is " + sample.not_cause + ", which it must not be";
  }
  if (!sample.not_rule.empty() && sample.not_rule == rule) {
    return "rule is " + sample.not_rule + ", which it must not be";
  }
  return {};
}

/// "cause<TAB>diagnostic" of plain lines. False: a line that expects nothing.
bool take_expectation(FailureInput& sample) {
  if (!sample.object) {
    const auto tab = sample.diagnostic.find('\t');
    if (tab == std::string::npos) return false;
    sample.cause = std::string(trim(std::string_view(sample.diagnostic).substr(0, tab)));
    sample.diagnostic.erase(0, tab + 1);
    sample.failure.diagnostic = sample.diagnostic;
  }
  return !sample.cause.empty() || !sample.rule.empty() || !sample.bounce_class.empty() ||
         !sample.category.empty() || !sample.not_cause.empty() || !sample.not_rule.empty();
}

class SampleTest {
 public:
  SampleTest(App& app, const TestArgs& args, std::shared_ptr<const RuleSet> rules,
             const std::vector<std::string>& sending_ips)
      : app_(app),
        args_(args),
        rules_(std::move(rules)),
        classifier_(rules_, {false, sending_ips}) {}

  int run(const std::function<bool(std::string&)>& next) {
    simdjson::dom::parser parser;
    const FailureInput defaults;
    FailureInput sample;
    std::string line;
    for (std::uint64_t number = 1; next(line); ++number) {
      const std::string_view words = trim(line);
      if (words.empty() || words.front() == '#') continue;
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (!read_failure(parser, line, defaults, sample)) {
        wrong(number, {}, "malformed JSON", "one object a line", nullptr);
      } else if (!take_expectation(sample)) {
        wrong(number, sample.diagnostic, "expects nothing",
              "add \"cause\", \"rule\", \"class\" or \"category\", or write cause<TAB>diagnostic",
              nullptr);
      } else {
        judge(number, sample);
      }
    }
    if (args_.format == "text") {
      app_.io.out(fmt::format("{}: {} samples, {} failed\n", failed_ == 0 ? "ok" : "failed",
                              samples_, failed_));
    }
    if (samples_ + failed_ == 0) {
      app_.io.notice("no sample in " + args_.samples);
      return 1;
    }
    return failed_ == 0 ? 0 : 1;
  }

 private:
  void judge(std::uint64_t number, const FailureInput& sample) {
    ++samples_;
    std::string why = mismatch(*rules_, sample, classifier_.classify(sample.failure));
    if (!sample.cause.empty() && find_cause(*rules_, sample.cause) == Cause::none) {
      why = "no such cause: " + sample.cause;
    }
    if (why.empty()) return;
    Explanation explained;
    (void)classifier_.explain(sample.failure, explained);
    wrong(number, sample.diagnostic, why, explained.summary, &explained);
  }

  void wrong(std::uint64_t number, const std::string& diagnostic, const std::string& why,
             const std::string& hint, const Explanation* explained) {
    ++failed_;
    if (args_.format != "ndjson") {
      app_.io.out(fmt::format("{}:{}: {}{}{}; {}\n", printable(args_.samples), number, why,
                              diagnostic.empty() ? "" : ": ", printable(diagnostic),
                              printable(hint)));
      return;
    }
    std::string json = "{\"file\":";
    append_json(json, args_.samples);
    json += fmt::format(",\"line\":{},\"message\":", number);
    append_json(json, why);
    json += ",\"diagnostic\":";
    append_json(json, diagnostic);
    if (explained != nullptr) {
      json += ",\"normalised\":";
      append_json(json, explained->normalised);
    }
    json += ",\"hint\":";
    append_json(json, hint);
    app_.io.out(json + "}\n");
  }

  App& app_;
  const TestArgs& args_;
  std::shared_ptr<const RuleSet> rules_;
  Classifier classifier_;
  std::uint64_t samples_ = 0, failed_ = 0;
};

int test(App& app, const TestArgs& args) {
  auto config = app.config();
  if (!config) return app.io.report(config.error());
  auto options = rule_options(app, args.dir);
  if (!options) return app.io.report(options.error());
  const auto rules = load_rules(*options);
  if (!rules) return app.io.report(rules.error());
  SampleTest run(app, args, *rules, config->sending_ips);
  if (args.samples == "-")
    return run.run([&](std::string& line) { return app.io.read_line(line); });
  const std::string path = app.path(args.samples);
  std::ifstream in(path);
  if (!in) return app.io.report({ErrorCode::io, "open", path, std::strerror(errno), ""});
  const int status =
      run.run([&](std::string& line) { return static_cast<bool>(std::getline(in, line)); });
  if (in.bad()) return app.io.report({ErrorCode::io, "read", path, std::strerror(errno), ""});
  return status;
}

}  // namespace

void add_rules_test(CLI::App& rules, App& app) {
  CLI::App* command = rules.add_subcommand("test", "own samples against own and built-in rules");
  auto args = std::make_shared<TestArgs>();
  command->add_option("DIR", args->dir, "own rules, which come before the built-in ones");
  command->add_option("--samples", args->samples, "what must come out; - = stdin")
      ->type_name("FILE")
      ->required();
  command->add_option("--format", args->format, "text or ndjson")
      ->check(CLI::IsMember({"text", "ndjson"}));
  examples(
      *command,
      "  bounced rules test /etc/bounced/rules --samples samples.ndjson\n"
      "  bounced rules test --samples labelled.tsv            the built-in rules\n\n"
      "A line is an object, {\"diagnostic\":\"550 ...\",\"cause\":\"mailbox.full\"}, with "
      "\"smtp_code\", \"enhanced\",\n\"mta\", \"phase\" and \"kind\" as `classify` reads them, "
      "and any of \"cause\", \"rule\", \"class\", \"category\",\n\"not_cause\", \"not_rule\"; or "
      "cause<TAB>diagnostic. Empty lines and # are passed over.\nExit status 1: a sample "
      "failed.");
  command->callback([&app, args] { app.run = [&app, args] { return test(app, *args); }; });
}

}  // namespace bounced::cli
