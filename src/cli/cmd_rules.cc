// bounced rules: check, list and reload rule sets.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <unordered_map>

#include "base/text.h"
#include "base/time.h"
#include "classify/check.h"
#include "cli/cmd_rules.h"

namespace bounced::cli {
namespace {

int check(App& app, const std::string& dir, const std::string& format) {
  auto options = rule_options(app, dir);
  if (!options) return app.io.report(options.error());
  const auto report = classify::check_rules(*options);
  if (!report) return app.io.report(report.error());
  for (const classify::Problem& problem : report->problems) {
    if (format == "ndjson") {
      std::string json = "{\"file\":";
      append_json(json, problem.file);
      constexpr const char* kLevels[] = {"error", "warning", "note"};
      json += fmt::format(",\"line\":{},\"severity\":\"{}\",\"rule\":", problem.line,
                          kLevels[static_cast<std::size_t>(problem.level)]);
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
    app.io.out(fmt::format(
        "{}: {} rules, {} samples, {} near misses, {} errors, {} warnings{}\n",
        report->errors() == 0 ? "ok" : "failed", report->rules, report->samples, report->misses,
        report->errors(), report->count(classify::Problem::Level::warning),
        report->overridden == 0
            ? std::string()
            : fmt::format("; own rules take over {} samples of others", report->overridden)));
  }
  return report->errors() == 0 ? 0 : 1;
}

struct ListArgs {
  std::string dir, cause, format = "text";
  bool hits = false;
};

/// How often each rule decided, as the store's last cut knows; empty without --hits.
Result<std::unordered_map<std::string, pipeline::RuleHit>> hits_of(App& app, const ListArgs& args) {
  std::unordered_map<std::string, pipeline::RuleHit> by_rule;
  if (!args.hits) return by_rule;
  auto session = Session::read(app);
  if (!session) return tl::unexpected(session.error());
  auto hits = pipeline::read_rule_hits((*session)->store());
  if (!hits) return tl::unexpected(hits.error());
  for (pipeline::RuleHit& hit : *hits) by_rule.emplace(hit.rule, hit);
  return by_rule;
}

std::string listing_json(const classify::RuleListing& rule, const pipeline::RuleHit* hit) {
  std::string json = "{\"rule\":";
  append_json(json, rule.id);
  json += ",\"cause\":";
  append_json(json, rule.cause);
  json += ",\"where\":";
  append_json(json, rule.where);
  if (hit != nullptr) {
    json += fmt::format(",\"hits\":{}", hit->count);
    if (hit->last_us != 0) json += ",\"last_hit\":\"" + format_time(hit->last_us) + "\"";
  }
  json += ",\"literals\":[";
  for (std::size_t i = 0; i < rule.literals.size(); ++i) {
    if (i != 0) json += ',';
    append_json(json, rule.literals[i]);
  }
  return json + "]}\n";
}

std::string listing_text(const classify::RuleListing& rule, const pipeline::RuleHit* hit) {
  if (hit == nullptr) {
    return fmt::format("{:<24} {:<44} {}\n", rule.cause, rule.id, rule.where);
  }
  return fmt::format("{:>12}  {:<27}  {:<24} {:<44} {}\n", with_commas(hit->count),
                     hit->last_us == 0 ? "-" : format_time(hit->last_us), rule.cause, rule.id,
                     rule.where);
}

/// The rules of the set, and what decided without being one of them: rows of codes, rules that are
/// gone. By hits where those are asked for.
int list(App& app, const ListArgs& args) {
  auto options = rule_options(app, args.dir);
  if (!options) return app.io.report(options.error());
  const auto set = load_rules(*options);
  if (!set) return app.io.report(set.error());
  auto hits = hits_of(app, args);
  if (!hits) return app.io.report(hits.error());
  struct Row {
    classify::RuleListing rule;
    pipeline::RuleHit hit;
  };
  std::vector<Row> rows;
  for (auto& rule : classify::list_rules(**set)) {
    const auto at = hits->find(rule.id);
    Row row{std::move(rule), {}};
    if (at != hits->end()) {
      row.hit = at->second;
      hits->erase(at);
    }
    if (args.cause.empty() || row.rule.cause == args.cause) rows.push_back(std::move(row));
  }
  if (args.cause.empty()) {
    for (const auto& [id, hit] : *hits) rows.push_back({{id, "-", "-", {}}, hit});
  }
  if (args.hits) {
    std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
      if (a.hit.count != b.hit.count) return a.hit.count > b.hit.count;
      return a.rule.where == "-" && b.rule.where == "-" && a.rule.id < b.rule.id;
    });
  }
  for (const Row& row : rows) {
    const pipeline::RuleHit* const hit = args.hits ? &row.hit : nullptr;
    app.io.out(args.format == "ndjson" ? listing_json(row.rule, hit) : listing_text(row.rule, hit));
  }
  return rows.empty() ? 1 : 0;
}

int reload(App& app, const std::string& format) {
  if (app.live == nullptr) {
    return app.io.report({ErrorCode::not_found, "rules reload", app.data(),
                          "no daemon answers here",
                          "start one with `bounced run`; other commands read the rules each time"});
  }
  const auto done = app.live->reload_rules();
  if (!done) {
    Error error = done.error();
    error.why += " (the rules in force stay)";
    return app.io.report(error);
  }
  const double ms = static_cast<double>(done->elapsed_us) / 1000;
  if (format == "ndjson") {
    app.io.out(fmt::format("{{\"rules\":{},\"samples\":{},\"changed\":{},\"ms\":{:.1f}}}\n",
                           done->rules, done->samples, done->changed, ms));
  } else {
    app.io.out(fmt::format("{} rules{} after {:.0f} ms, {} samples tried\n", done->rules,
                           done->changed ? " in force" : " as before, nothing new,", ms,
                           done->samples));
  }
  return 0;
}

}  // namespace

Result<RuleSetOptions> rule_options(const App& app, const std::string& dir) {
  auto config = app.config();
  if (!config) return tl::unexpected(config.error());
  RuleSetOptions options = engine_options(*config).rules;
  options.cache_dir.clear();
  if (!dir.empty()) options.operator_dirs = {app.path(dir)};
  return options;
}

void add_rules(CLI::App& parser, App& app) {
  CLI::App* command =
      parser.add_subcommand("rules", "rule sets: prove, list, measure, find what is missing");
  command->require_subcommand(1);
  auto args = std::make_shared<ListArgs>();
  const auto formats = [&](CLI::App& sub) {
    sub.add_option("--format", args->format, "text or ndjson")
        ->check(CLI::IsMember({"text", "ndjson"}));
  };
  const auto common = [&](CLI::App& sub) {
    sub.add_option("DIR", args->dir, "own rules, which come before the built-in ones");
    formats(sub);
  };
  CLI::App* checks = command->add_subcommand("check", "prove that every rule does what it says");
  common(*checks);
  examples(*checks,
           "  bounced rules check                      the built-in rules\n"
           "  bounced rules check /etc/bounced/rules   own rules before them\n\n"
           "Errors and warnings name file:line. Notes tell which samples of other rules own rules "
           "take over.\nExit status 1: an error.");
  checks->callback(
      [&app, args] { app.run = [&app, args] { return check(app, args->dir, args->format); }; });
  CLI::App* lists = command->add_subcommand("list", "all rules, in order of precedence");
  common(*lists);
  lists->add_option("--cause", args->cause, "only rules of this cause");
  lists->add_flag("--hits", args->hits,
                  "how often each decided and when last, as --data's store knows; most first");
  examples(*lists,
           "  bounced rules list --cause mailbox.full\n"
           "  bounced rules list --hits --data /var/lib/bounced | head");
  lists->callback([&app, args] {
    app.forwardable = args->hits;  // a daemon has counted what its store does not have yet
    app.run = [&app, args] { return list(app, *args); };
  });
  add_rules_test(*command, app);
  add_rules_bench(*command, app);
  add_rules_unknown(*command, app);
  CLI::App* reloads =
      command->add_subcommand("reload", "the daemon reads its rule and policy files again");
  formats(*reloads);
  examples(
      *reloads,
      "  bounced rules reload --data /var/lib/bounced\n\n"
      "The new rules are compiled and proved by their samples beside the old ones, which go on "
      "until\nthen. If anything is wrong, the old ones stay and the error says where. SIGHUP "
      "does the same.");
  reloads->callback([&app, args] {
    app.forwardable = true;
    app.run = [&app, args] { return reload(app, args->format); };
  });
}

}  // namespace bounced::cli
