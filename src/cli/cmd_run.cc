// bounced run: the daemon.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <csignal>
#include <filesystem>

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/app.h"
#include "cli/http_service.h"
#include "cli/mail_watch.h"

namespace bounced::cli {
namespace {

// Rules and policy anew; what is wrong with them is logged, and those in force stay.
void reload(pipeline::Engine& engine) {
  const auto done = engine.reload_rules();
  if (!done) {
    spdlog::error("{}; the rules in force stay", done.error().message());
    return;
  }
  spdlog::info("SIGHUP: {} rules {} after {} ms", done->rules,
               done->changed ? "in force" : "read again, nothing new", done->elapsed_us / 1000);
}

// Waits for SIGTERM, SIGINT, or a fatal error; returns the signal. SIGHUP reloads.
int wait_for_end(const sigset_t& signals, pipeline::Engine& engine, HttpService* http) {
  while (true) {
    const timespec wait{0, 500'000'000};
    const int signal = sigtimedwait(&signals, nullptr, &wait);
    if (signal == SIGHUP) {
      reload(engine);
      if (http != nullptr) http->reload();
    } else if (signal > 0) {
      return signal;
    }
    if (engine.fatal().has_value()) return 0;
  }
}

int run_daemon(App& app, const std::vector<std::string>& extra) {
  if (app.live != nullptr) {
    return app.io.report({ErrorCode::usage, "run", "", "a daemon runs already", ""});
  }
  // Blocked in every thread of the engine; this one takes them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  auto config = app.config();
  if (!config) return app.io.report(config.error());
  if (!extra.empty()) {
    Tail tail;
    tail.name = "files";
    for (const std::string& path : extra) tail.paths.push_back(app.path(path));
    config->tails.push_back(std::move(tail));
  }
  if (config->tails.empty() && config->maildirs.empty() && config->mboxes.empty() &&
      !config->serve_http) {
    return app.io.report(
        {ErrorCode::usage, "run", config->file, "nothing to follow",
         "add a [[tail]], [[maildir]], [[mbox]] or [http] to the configuration, or name files"});
  }
  init_logging(app.log_level.empty() ? config->log_level : app.log_level);

  const std::int64_t begun = monotonic_us();
  auto engine = pipeline::Engine::open(engine_options(*config));
  if (!engine) return app.io.report(engine.error());
  for (const Tail& tail : config->tails) {
    pipeline::TailConfig t;
    t.tail.name = tail.name;
    for (const std::string& path : tail.paths) t.tail.paths.push_back(app.path(path));
    t.tail.format = tail.format == "auto" ? -1 : parse::find_format(tail.format);
    t.tail.poll_us = tail.poll_us;
    t.tail.rotated_wait_us = tail.rotated_wait_us;
    t.tail.use_inotify = tail.inotify;
    t.tail.from_start = tail.from_start;
    t.timezone = tail.timezone;
    if (tail.timezone.empty()) {
      spdlog::info("tail {}: stamps without an offset are read as UTC", tail.name);
    }
    if (auto added = (*engine)->add_tail(std::move(t)); !added) return app.io.report(added.error());
  }
  std::unique_ptr<MailWatch> mails;
  if (!config->maildirs.empty() || !config->mboxes.empty()) {
    for (Maildir& maildir : config->maildirs) maildir.path = app.path(maildir.path);
    for (Mbox& mbox : config->mboxes) mbox.path = app.path(mbox.path);
    auto started =
        MailWatch::start(**engine, engine_options(*config), config->maildirs, config->mboxes);
    if (!started) return app.io.report(started.error());
    mails = std::move(*started);
  }
  std::unique_ptr<HttpService> http;
  if (config->serve_http) {
    const std::filesystem::path file = app.path(config->file);
    auto started = HttpService::start(**engine, *config, file.parent_path().string(), mails.get());
    if (!started) return app.io.report(started.error());
    http = std::move(*started);
    for (const std::string& address : http->addresses()) spdlog::info("http: {}", address);
  }
  auto control = ControlServer::start(**engine, *config, http.get(), mails.get());
  if (!control) return app.io.report(control.error());
  spdlog::info("running: data {}, {} source(s), ready after {} ms", config->data_dir,
               config->tails.size() + config->maildirs.size() + config->mboxes.size() +
                   config->webhooks.size(),
               (monotonic_us() - begun) / 1000);

  const int signal = wait_for_end(signals, **engine, http.get());
  if (signal != 0) spdlog::info("{}: stopping", signal == SIGINT ? "SIGINT" : "SIGTERM");
  control->reset();
  http.reset();
  mails.reset();
  auto stopped = (*engine)->stop();
  if (!stopped) return app.io.report(stopped.error());
  spdlog::info("stopped");
  return 0;
}

}  // namespace

void add_run(CLI::App& parser, App& app) {
  CLI::App* command = parser.add_subcommand("run", "the daemon: follows every source");
  auto files = std::make_shared<std::vector<std::string>>();
  command->add_option("FILE", *files, "log files to follow beside those of the configuration");
  examples(
      *command,
      "  bounced run --config /etc/bounced/bounced.toml\n"
      "  bounced run --data /var/lib/bounced /var/log/mail.log   without a configuration\n\n"
      "SIGTERM and SIGINT: drain what was read, make it durable, exit 0.\n"
      "SIGHUP: read the rule files and the policy file again, as `bounced rules reload` does;\n"
      "read the TLS certificate again, open the access log again.\n"
      "Other commands given with the same --data run inside the daemon.");
  command->callback([&app, files] { app.run = [&app, files] { return run_daemon(app, *files); }; });
}

}  // namespace bounced::cli
