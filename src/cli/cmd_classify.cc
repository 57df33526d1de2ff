// bounced classify: what a diagnostic means.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "classify/code_meaning.h"
#include "cli/app.h"
#include "cli/failure_input.h"
#include "cli/policy_text.h"
#include "report/event_json.h"

namespace bounced::cli {
namespace {

struct ClassifyArgs {
  std::vector<std::string> texts;
  std::string format = "text";
  std::string mta, domain, phase, kind = "bounced";
  bool explain = false;
};

/// What answers are made of.
struct Judge {
  const RuleSet& rules;
  Classifier& classifier;
  const Policy* policy = nullptr;  ///< with --explain
};

std::string enhanced_text(const EnhancedCode& code) {
  return fmt::format("{}.{}.{}", code.klass, code.subject, code.detail);
}

void append_explanation(std::string& json, const RuleSet& rules, const Explanation& why,
                        const std::string& effect) {
  const auto member = [&json](const char* key, std::string_view text) {
    if (text.empty()) return;
    json += fmt::format(",\"{}\":", key);
    append_json(json, text);
  };
  json += ",\"explanation\":{\"normalised\":";
  append_json(json, why.normalised);
  if (why.smtp_code != 0) json += fmt::format(",\"smtp_code\":{}", why.smtp_code);
  if (why.enhanced.present()) member("enhanced", enhanced_text(why.enhanced));
  member("provider", why.provider);
  member("summary", why.summary);
  member("policy", effect);
  json += ",\"words\":[";
  for (std::size_t i = 0; i < why.words.size(); ++i) {
    json += i != 0 ? ",{\"what\":" : "{\"what\":";
    append_json(json, why.words[i].what);
    json += fmt::format(",\"weight\":{:.2f}}}", why.words[i].weight);
  }
  json += "],\"matches\":[";
  for (std::size_t i = 0; i < why.matches.size(); ++i) {
    const auto& match = why.matches[i];
    json += i != 0 ? ",{\"rule\":" : "{\"rule\":";
    append_json(json, match.rule);
    member("cause", cause_id(rules, match.cause));
    member("where", match.where);
    json += match.won ? ",\"won\":true" : ",\"won\":false";
    member("why", match.why);
    json += '}';
  }
  json += "]}";
}

void append_explanation_text(std::string& text, const RuleSet& rules, const Explanation& why,
                             const std::string& effect) {
  text += fmt::format("  read as   {}\n", printable(why.normalised));
  if (why.smtp_code != 0) text += fmt::format("  code      {}\n", why.smtp_code);
  if (why.enhanced.present()) {
    text += fmt::format("  enhanced  {}\n", enhanced_text(why.enhanced));
  }
  if (!why.provider.empty()) text += fmt::format("  provider  {}\n", why.provider);
  for (const auto& match : why.matches) {
    text += fmt::format("  {} {}  {}  {}{}\n", match.won ? "won  " : "lost ", match.rule,
                        cause_id(rules, match.cause), match.where,
                        match.why.empty() ? "" : ": " + match.why);
  }
  std::string words;
  for (const auto& word : why.words) {
    words += fmt::format("{}\"{}\" {:+.1f}", words.empty() ? "" : ", ", printable(word.what),
                         word.weight);
  }
  if (!words.empty()) text += fmt::format("  words     {}\n", words);
  text += fmt::format("  why       {}\n  policy    {}\n", why.summary, effect);
}

void answer(Io& io, const FailureInput& input, Judge& judge, bool as_json) {
  Explanation why;
  const bool explains = judge.policy != nullptr;
  const Verdict v = explains ? judge.classifier.explain(input.failure, why)
                             : judge.classifier.classify(input.failure);
  const std::string effect =
      explains ? describe_effect(*judge.policy, v, input.failure.kind) : std::string();
  std::string out;
  if (as_json) {
    out = "{" + input.echo + (input.echo.empty() ? "" : ",") + "\"verdict\":";
    const Classifier::Span span = judge.classifier.span(input.failure);
    report::append_verdict_json(out, v, judge.rules, span.begin, span.end);
    if (explains) append_explanation(out, judge.rules, why, effect);
    io.out(out + "}\n");
    return;
  }
  const CauseInfo& info = cause_info(judge.rules, v.cause);
  out = printable(input.diagnostic) + "\n";
  if (const std::string says = classify::bare_code_meaning(input.diagnostic); !says.empty()) {
    out += fmt::format("  says      {}\n", says);
  }
  out +=
      fmt::format("  cause     {}  ({}, {}, confidence {:.2f})\n", cause_id(judge.rules, v.cause),
                  to_string(v.bounce_class), to_string(v.severity), v.confidence / 100.0);
  if (v.category != Category::none) out += fmt::format("  category  {}\n", to_string(v.category));
  out += fmt::format("  rule      {}\n", rule_name(judge.rules, v.rule));
  out += fmt::format("  meaning   {}\n  advice    {}\n", info.meaning, info.advice);
  if (explains) append_explanation_text(out, judge.rules, why, effect);
  io.out(out);
}

FailureInput defaults_of(const ClassifyArgs& args) {
  FailureInput defaults;
  defaults.mta_host = args.mta;
  defaults.domain = args.domain;
  (void)from_string(args.kind, defaults.failure.kind);
  if (!args.phase.empty()) (void)from_string(args.phase, defaults.failure.phase);
  return defaults;
}

int classify(App& app, const ClassifyArgs& args) {
  auto rules = rules_of(app);
  if (!rules) return app.io.report(rules.error());
  auto config = app.config();
  if (!config) return app.io.report(config.error());
  Result<Policy> policy = Policy{};
  if (args.explain) policy = state::load_policy(config->policy_file, causes(**rules));
  if (!policy) return app.io.report(policy.error());
  Classifier::Options options;
  options.sending_ips = config->sending_ips;
  Classifier classifier(*rules, options);
  Judge judge{**rules, classifier, args.explain ? &*policy : nullptr};
  simdjson::dom::parser parser;
  const FailureInput defaults = defaults_of(args);
  FailureInput input;
  std::uint64_t malformed = 0;
  const bool as_json = args.format == "ndjson";
  const auto one = [&](const std::string& line) {
    if (read_failure(parser, line, defaults, input)) return answer(app.io, input, judge, as_json);
    ++malformed;
    // Answers stay in step with the questions.
    if (as_json) app.io.out("{\"error\":\"malformed JSON\"}\n");
  };
  const bool from_stdin = args.texts.empty() || (args.texts.size() == 1 && args.texts[0] == "-");
  if (from_stdin) {
    std::string line;
    while (!app.io.broken() && app.io.read_line(line)) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      one(line);
    }
  } else {
    for (const std::string& text : args.texts) one(text);
  }
  if (malformed != 0) {
    return app.io.report({ErrorCode::data, "classify", "stdin",
                          std::to_string(malformed) + " line(s) of malformed JSON", ""});
  }
  return 0;
}

}  // namespace

void add_classify(CLI::App& parser, App& app) {
  CLI::App* command = parser.add_subcommand("classify", "what a diagnostic means");
  auto args = std::make_shared<ClassifyArgs>();
  command->add_option("TEXT", args->texts, "diagnostics; none or - = lines of stdin");
  command->add_option("--format", args->format, "text or ndjson")
      ->check(CLI::IsMember({"text", "ndjson"}));
  command->add_option("--mta", args->mta, "host that answered")->type_name("HOST");
  command->add_option("--domain", args->domain, "recipient's domain")->type_name("DOMAIN");
  command->add_option("--phase", args->phase, "connect, helo, mail, rcpt, data or eod")
      ->check(CLI::IsMember({"connect", "helo", "mail", "rcpt", "data", "eod"}));
  command->add_option("--kind", args->kind, "bounced, deferred or expired")
      ->check(CLI::IsMember({"bounced", "deferred", "expired"}));
  command->add_flag("--explain", args->explain, "all matching rules, and why the winner won");
  examples(*command,
           "  bounced classify '550 5.1.1 <bob@example.com>: user unknown'\n"
           "  bounced classify 421 5.7.26                  what bare codes say\n"
           "  bounced classify --explain --mta mx.example.com '452 4.2.2 mailbox full'\n"
           "  bounced classify --format ndjson < replies.ndjson\n\n"
           "A line of stdin that begins with { is one object: {\"diagnostic\":..., and optionally\n"
           "\"id\", \"smtp_code\", \"enhanced\", \"mta\":{\"host\":...}, \"phase\", \"kind\"}; it "
           "comes back with\n"
           "\"verdict\" added, in order.");
  command->callback([&app, args] { app.run = [&app, args] { return classify(app, *args); }; });
}

}  // namespace bounced::cli
