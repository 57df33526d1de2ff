// bounced classify: what a diagnostic means.
#include <simdjson.h>

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>

#include "base/text.h"
#include "classify/code_meaning.h"
#include "cli/app.h"
#include "report/event_json.h"

namespace bounced::cli {
namespace {

struct ClassifyArgs {
  std::vector<std::string> texts;
  std::string format = "text";
  std::string mta, domain, phase, kind = "bounced";
  bool explain = false;
};

/// One input object (DESIGN section 6); owns what its Failure points to.
struct Input {
  std::string diagnostic, mta_host, domain;
  Failure failure;
  std::string echo;  ///< the object's members as they came, without braces
};

bool read_enhanced(std::string_view text, EnhancedCode& out) {
  unsigned part[3] = {0, 0, 0};
  std::size_t at = 0;
  for (int i = 0; i < 3; ++i) {
    const auto [end, ec] = std::from_chars(text.data() + at, text.data() + text.size(), part[i]);
    if (ec != std::errc() || part[i] > 999) return false;
    at = static_cast<std::size_t>(end - text.data());
    if (i < 2 && (at >= text.size() || text[at++] != '.')) return false;
  }
  if (at != text.size() || (part[0] != 2 && part[0] != 4 && part[0] != 5)) return false;
  out.klass = static_cast<std::uint8_t>(part[0]);
  out.subject = static_cast<std::uint16_t>(part[1]);
  out.detail = static_cast<std::uint16_t>(part[2]);
  return true;
}

// A JSON line, or a plain text line when it does not begin with '{'. False: malformed JSON.
bool read_input(simdjson::dom::parser& parser, const std::string& line, const ClassifyArgs& args,
                Input& out) {
  out = Input{};
  out.mta_host = args.mta;
  out.domain = args.domain;
  (void)from_string(args.kind, out.failure.kind);
  if (!args.phase.empty()) (void)from_string(args.phase, out.failure.phase);
  const std::string_view trimmed = trim(line);
  if (trimmed.empty() || trimmed.front() != '{') {
    out.diagnostic = line;
    out.echo = "\"diagnostic\":";
    append_json(out.echo, line);
  } else {
    simdjson::dom::element root;
    simdjson::dom::object object;
    if (parser.parse(trimmed.data(), trimmed.size()).get(root) != simdjson::SUCCESS ||
        root.get(object) != simdjson::SUCCESS) {
      return false;
    }
    for (const auto field : object) {
      if (field.key == "verdict") continue;
      if (!out.echo.empty()) out.echo += ',';
      append_json(out.echo, field.key);
      out.echo += ':';
      out.echo += simdjson::minify(field.value);
    }
    std::string_view text;
    if (root["diagnostic"].get(text) == simdjson::SUCCESS) out.diagnostic = text;
    std::uint64_t code = 0;
    if (root["smtp_code"].get(code) == simdjson::SUCCESS && code < 1000) {
      out.failure.smtp_code = static_cast<std::uint16_t>(code);
    } else if (root["smtp_code"].get(text) == simdjson::SUCCESS) {
      std::from_chars(text.data(), text.data() + text.size(), out.failure.smtp_code);
    }
    if (root["enhanced"].get(text) == simdjson::SUCCESS) {
      (void)read_enhanced(text, out.failure.enhanced);
    }
    if (root["mta"]["host"].get(text) == simdjson::SUCCESS ||
        root["mta"].get(text) == simdjson::SUCCESS) {
      out.mta_host = text;
    }
    if (root["phase"].get(text) == simdjson::SUCCESS) (void)from_string(text, out.failure.phase);
    if (root["kind"].get(text) == simdjson::SUCCESS) (void)from_string(text, out.failure.kind);
    if (root["recipient"].get(text) == simdjson::SUCCESS) out.domain = raw_domain(text);
  }
  out.failure.diagnostic = out.diagnostic;
  out.failure.mta_host = out.mta_host;
  out.failure.recipient_domain = out.domain;
  return true;
}

void print_json(Io& io, const Input& input, const Verdict& verdict, Classifier& classifier,
                const RuleSet& rules, const Explanation* why) {
  std::string json = "{" + input.echo + (input.echo.empty() ? "" : ",") + "\"verdict\":";
  const Classifier::Span span = classifier.span(input.failure);
  report::append_verdict_json(json, verdict, rules, span.begin, span.end);
  if (why != nullptr) {
    json += ",\"explanation\":{\"normalised\":";
    append_json(json, why->normalised);
    if (!why->provider.empty()) {
      json += ",\"provider\":";
      append_json(json, why->provider);
    }
    json += ",\"summary\":";
    append_json(json, why->summary);
    json += ",\"matches\":[";
    for (std::size_t i = 0; i < why->matches.size(); ++i) {
      const auto& match = why->matches[i];
      json += i != 0 ? ",{\"rule\":" : "{\"rule\":";
      append_json(json, match.rule);
      json += ",\"cause\":";
      append_json(json, cause_id(rules, match.cause));
      json += ",\"where\":";
      append_json(json, match.where);
      json += match.won ? ",\"won\":true,\"why\":" : ",\"won\":false,\"why\":";
      append_json(json, match.why);
      json += '}';
    }
    json += "]}";
  }
  io.out(json + "}\n");
}

void print_text(Io& io, const Input& input, const Verdict& v, const RuleSet& rules,
                const Explanation* why) {
  const CauseInfo& info = cause_info(rules, v.cause);
  std::string text = printable(input.diagnostic) + "\n";
  if (const std::string says = classify::bare_code_meaning(input.diagnostic); !says.empty()) {
    text += fmt::format("  says      {}\n", says);
  }
  text += fmt::format("  cause     {}  ({}, {}, confidence {:.2f})\n", cause_id(rules, v.cause),
                      to_string(v.bounce_class), to_string(v.severity), v.confidence / 100.0);
  if (v.category != Category::none) text += fmt::format("  category  {}\n", to_string(v.category));
  text += fmt::format("  rule      {}\n", rule_name(rules, v.rule));
  text += fmt::format("  meaning   {}\n  advice    {}\n", info.meaning, info.advice);
  if (why != nullptr) {
    text += fmt::format("  read as   {}\n", printable(why->normalised));
    if (why->smtp_code != 0) text += fmt::format("  code      {}\n", why->smtp_code);
    if (why->enhanced.present()) {
      text += fmt::format("  enhanced  {}.{}.{}\n", why->enhanced.klass, why->enhanced.subject,
                          why->enhanced.detail);
    }
    if (!why->provider.empty()) text += fmt::format("  provider  {}\n", why->provider);
    for (const auto& match : why->matches) {
      text += fmt::format("  {} {}  {}  {}{}\n", match.won ? "won  " : "lost ", match.rule,
                          cause_id(rules, match.cause), match.where,
                          match.why.empty() ? "" : ": " + match.why);
    }
    text += fmt::format("  why       {}\n", why->summary);
  }
  io.out(text);
}

int classify(App& app, const ClassifyArgs& args) {
  auto rules = rules_of(app);
  if (!rules) return app.io.report(rules.error());
  auto config = app.config();
  if (!config) return app.io.report(config.error());
  Classifier::Options options;
  options.sending_ips = config->sending_ips;
  Classifier classifier(*rules, options);
  simdjson::dom::parser parser;
  Input input;
  std::uint64_t malformed = 0;
  const auto one = [&](const std::string& line) {
    if (!read_input(parser, line, args, input)) {
      ++malformed;
      // Answers stay in step with the questions.
      if (args.format == "ndjson") app.io.out("{\"error\":\"malformed JSON\"}\n");
      return;
    }
    Explanation why;
    const Verdict verdict =
        args.explain ? classifier.explain(input.failure, why) : classifier.classify(input.failure);
    const Explanation* shown = args.explain ? &why : nullptr;
    if (args.format == "ndjson") {
      print_json(app.io, input, verdict, classifier, **rules, shown);
    } else {
      print_text(app.io, input, verdict, **rules, shown);
    }
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
