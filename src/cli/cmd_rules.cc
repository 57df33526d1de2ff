// bounced rules: check and list rule sets.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "classify/check.h"
#include "cli/app.h"

namespace bounced::cli {
namespace {

Result<RuleSetOptions> options_of(const App& app, const std::string& dir) {
  auto config = app.config();
  if (!config) return tl::unexpected(config.error());
  RuleSetOptions options = engine_options(*config).rules;
  options.cache_dir.clear();
  if (!dir.empty()) options.operator_dirs = {app.path(dir)};
  return options;
}

int check(App& app, const std::string& dir, const std::string& format) {
  auto options = options_of(app, dir);
  if (!options) return app.io.report(options.error());
  const auto report = classify::check_rules(*options);
  if (!report) return app.io.report(report.error());
  for (const classify::Problem& problem : report->problems) {
    if (format == "ndjson") {
      std::string json = "{\"file\":";
      append_json(json, problem.file);
      json += fmt::format(",\"line\":{},\"severity\":\"{}\",\"rule\":", problem.line,
                          problem.level == classify::Problem::Level::error ? "error" : "warning");
      append_json(json, problem.rule);
      json += ",\"message\":";
      append_json(json, problem.message);
      json += ",\"hint\":";
      append_json(json, problem.hint);
      app.io.out(json + "}\n");
      continue;
    }
    app.io.out(printable(problem.text()) + "\n");
  }
  if (format == "text") {
    app.io.out(fmt::format("{}: {} rules, {} samples, {} near misses, {} errors, {} warnings\n",
                           report->errors() == 0 ? "ok" : "failed", report->rules, report->samples,
                           report->misses, report->errors(),
                           report->problems.size() - report->errors()));
  }
  return report->errors() == 0 ? 0 : 1;
}

int list(App& app, const std::string& dir, const std::string& cause, const std::string& format) {
  auto options = options_of(app, dir);
  if (!options) return app.io.report(options.error());
  const auto set = load_rules(*options);
  if (!set) return app.io.report(set.error());
  std::size_t shown = 0;
  for (const auto& rule : classify::list_rules(**set)) {
    if (!cause.empty() && rule.cause != cause) continue;
    ++shown;
    if (format == "ndjson") {
      std::string json = "{\"rule\":";
      append_json(json, rule.id);
      json += ",\"cause\":";
      append_json(json, rule.cause);
      json += ",\"where\":";
      append_json(json, rule.where);
      json += ",\"literals\":[";
      for (std::size_t i = 0; i < rule.literals.size(); ++i) {
        if (i != 0) json += ',';
        append_json(json, rule.literals[i]);
      }
      app.io.out(json + "]}\n");
    } else {
      app.io.out(fmt::format("{:<24} {:<44} {}\n", rule.cause, rule.id, rule.where));
    }
  }
  return shown == 0 ? 1 : 0;
}

}  // namespace

void add_rules(CLI::App& parser, App& app) {
  CLI::App* command = parser.add_subcommand("rules", "check and list rule sets");
  command->require_subcommand(1);
  struct Args {
    std::string dir, cause, format = "text";
  };
  auto args = std::make_shared<Args>();
  const auto common = [&](CLI::App& sub) {
    sub.add_option("DIR", args->dir, "own rules, which come before the built-in ones");
    sub.add_option("--format", args->format, "text or ndjson")
        ->check(CLI::IsMember({"text", "ndjson"}));
  };
  CLI::App* checks = command->add_subcommand("check", "prove that every rule does what it says");
  common(*checks);
  examples(*checks,
           "  bounced rules check                      the built-in rules\n"
           "  bounced rules check /etc/bounced/rules   own rules before them");
  checks->callback(
      [&app, args] { app.run = [&app, args] { return check(app, args->dir, args->format); }; });
  CLI::App* lists = command->add_subcommand("list", "all rules, in order of precedence");
  common(*lists);
  lists->add_option("--cause", args->cause, "only rules of this cause");
  examples(*lists, "  bounced rules list --cause mailbox.full");
  lists->callback([&app, args] {
    app.run = [&app, args] { return list(app, args->dir, args->cause, args->format); };
  });
}

}  // namespace bounced::cli
