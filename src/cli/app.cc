#include "cli/app.h"

#include <CLI/CLI.hpp>

#include <filesystem>

#include "base/log.h"
#include "base/text.h"
#include "cli/arguments.h"

namespace bounced::cli {
namespace {

constexpr std::string_view kFooter = R"(
Examples:
  bounced replay /var/log/mail.log.1 /var/log/mail.log     read logs, keep block state
  bounced list --block dead                                who is blocked, and why
  bounced address show someone@example.com                 everything known of one address
  bounced report --by cause                                what fails, and what to do about it
  bounced run --config /etc/bounced/bounced.toml           the daemon
  bounced classify '550 5.1.1 user unknown'                what a reply means

Exit status: 0 ok, 1 found nothing or a check failed, 2 usage, 3 data or I/O error.)";

void build(CLI::App& parser, App& app) {
  parser.require_subcommand(1);
  parser.fallthrough();
  parser.footer(std::string(kFooter));
  not_empty(*parser.add_option("--data", app.data_dir, "data directory (default ./bounced-data)")
                 ->type_name("DIR"));
  not_empty(
      *parser.add_option("--config", app.config_file, "configuration file")->type_name("FILE"));
  parser.add_option("--log-level", app.log_level, "trace, debug, info, warn, error or off")
      ->type_name("LEVEL")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}));
  for (const auto add :
       {add_run, add_replay, add_parse, add_deliver, add_trace, add_classify, add_explain,
        add_address, add_list, add_report, add_changes, add_rules, add_whatif, add_config,
        add_digest, add_doctor, add_status, add_version, add_webhook}) {
    add(parser, app);
  }
}

// What the parser says, or where a command was expected and another word stood: that word.
Error usage_error(const CLI::App& parser, const std::string& command, std::string why) {
  const CLI::App* last = &parser;
  while (!last->get_subcommands().empty()) last = last->get_subcommands().front();
  std::string hint = "see `bounced " + (command.empty() ? "" : command + " ") + "--help`";
  const std::vector<std::string> rest = parser.remaining(true);
  if (last->get_require_subcommand_min() == 0 || rest.empty()) {
    return {ErrorCode::usage, command, "", std::move(why), std::move(hint)};
  }
  std::vector<std::string_view> known;
  for (const CLI::App* sub : last->get_subcommands({})) known.emplace_back(sub->get_name());
  if (const auto near = nearest(rest.front(), known); !near.empty()) {
    hint = "did you mean `" + std::string(near) + "`? " + hint;
  }
  return {ErrorCode::usage, command, rest.front(), "not a command", std::move(hint)};
}

}  // namespace

int failed(App& app, const Error& error) {
  const int status = app.io.report(error);
  return app.delivers ? kTempFail : status;
}

std::string App::path(const std::string& p) const {
  if (p.empty() || p == "-" || p.front() == '/' || cwd.empty()) return p;
  return (std::filesystem::path(cwd) / p).lexically_normal().string();
}

Result<Config> App::config() const {
  Config config;
  if (live_config != nullptr) {
    config = *live_config;
  } else if (!config_file.empty()) {
    auto loaded = load_config(path(config_file));
    if (!loaded) return loaded;
    config = std::move(*loaded);
  }
  if (!data_dir.empty()) config.data_dir = data_dir;
  config.data_dir = path(config.data_dir);
  return config;
}

std::string App::data() const {
  auto loaded = config();
  return loaded ? loaded->data_dir : path(data_dir.empty() ? "./bounced-data" : data_dir);
}

void examples(CLI::App& command, std::string_view text) {
  command.footer("\nExamples:\n" + std::string(text));
}

Result<std::shared_ptr<const RuleSet>> rules_of(const App& app,
                                                std::vector<std::string> known_causes) {
  if (app.live != nullptr) return app.live->rules();
  auto config = app.config();
  if (!config) return tl::unexpected(config.error());
  RuleSetOptions options = engine_options(*config).rules;
  options.known_causes = std::move(known_causes);
  std::error_code ignored;
  // The cache of compiled rules lives in the data directory; do not make one only for that.
  if (!std::filesystem::is_directory(config->data_dir, ignored)) options.cache_dir.clear();
  return load_rules(options);
}

int run_app(App& app, const std::vector<std::string>& args) {
  CLI::App parser(
      "bounced: reads what mail servers say about the mail you send, and keeps, for "
      "every address, whether it may still be mailed.",
      "bounced");
  build(parser, app);
  std::vector<std::string> reversed(args.rbegin(), args.rend());
  try {
    parser.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    CLI::App* shown = &parser;
    while (!shown->get_subcommands().empty()) shown = shown->get_subcommands().front();
    app.io.out(shown->help());
    app.io.flush();
    return 0;
  } catch (const CLI::ParseError& e) {
    std::string command;
    for (CLI::App* sub = &parser; !sub->get_subcommands().empty();) {
      sub = sub->get_subcommands().front();
      command += (command.empty() ? "" : " ") + sub->get_name();
    }
    return app.io.report(usage_error(parser, command, e.what()));
  }
  if (!app.run) {
    app.io.out(parser.help());
    app.io.flush();
    return 2;
  }
  if (app.forwardable && app.live == nullptr) {
    const auto config = app.config();
    if (!config) return failed(app, config.error());
    auto status = forward(config->data_dir, app, args);
    if (status) return *status;
    if (status.error().code != ErrorCode::not_found) return failed(app, status.error());
  }
  if (app.live == nullptr && !app.log_level.empty()) init_logging(app.log_level);
  const int status = app.run();
  if (auto written = app.io.finish(); !written) return failed(app, written.error());
  return status;
}

}  // namespace bounced::cli
