// bounced replay, bounced parse: the pipeline over files, with and without a store.
#include <sys/resource.h>

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <fstream>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/app.h"
#include "cli/mail_input.h"
#include "cli/progress.h"
#include "report/event_json.h"

namespace bounced::cli {
namespace {

struct ReplayArgs {
  std::vector<std::string> files;
  std::string format = "auto";
  std::string timezone;
  std::string events;
  std::string summary = "text";
  int year = 0;
  bool quiet = false;
};

// Set by SIGINT and SIGTERM: stop reading, drain, cut.
volatile std::sig_atomic_t g_interrupted = 0;

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::uint64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

/// Writes applied events as NDJSON. Called on the apply thread only.
class EventWriter {
 public:
  explicit EventWriter(Io& io) : io_(io) {}
  void bind(const pipeline::Engine& engine, const std::vector<std::string>& sending_ips) {
    rules_ = engine.rules();
    Classifier::Options options;
    options.sending_ips = sending_ips;  // spans are those of the verdicts' own texts
    classifier_ = std::make_unique<Classifier>(rules_, options);
    context_.names = &engine.names();
    context_.rules = rules_.get();
    context_.classifier = classifier_.get();
    ready_ = true;
  }
  void write(const Batch& batch, std::span<Event* const> events) {
    while (!ready_) std::this_thread::yield();
    buffer_.clear();
    for (const Event* event : events) {
      report::append_event_json(buffer_, batch, *event, context_);
    }
    io_.out(buffer_);
  }

 private:
  Io& io_;
  std::shared_ptr<const RuleSet> rules_;
  std::unique_ptr<Classifier> classifier_;
  report::EventJsonContext context_;
  std::string buffer_;
  std::atomic<bool> ready_{false};
};

std::string summary_json(const pipeline::Metrics& before, const pipeline::Metrics& after,
                         double seconds, double cpu) {
  std::string json =
      fmt::format("{{\"lines\":{},\"bytes\":{},\"events\":{{",
                  after.lines.lines - before.lines.lines, after.lines.bytes - before.lines.bytes);
  bool first = true;
  for (std::size_t i = 1; i < kEventKinds; ++i) {
    json += fmt::format("{}\"{}\":{}", first ? "" : ",", to_string(static_cast<EventKind>(i)),
                        after.events[i] - before.events[i]);
    first = false;
  }
  json += fmt::format(
      "}},\"unparsed\":{},\"oversize\":{},\"lost_messages\":{},\"loss_alarms\":{},"
      "\"unmatched\":{},\"redacted\":{},\"addresses\":{},\"blocked\":{},\"seconds\":{:.3f},"
      "\"cpu_seconds\":{:.3f},\"peak_rss_bytes\":{}}}\n",
      after.lines.unparsed - before.lines.unparsed, after.lines.oversize - before.lines.oversize,
      after.lines.lost_messages - before.lines.lost_messages,
      after.lines.loss_alarms - before.lines.loss_alarms,
      after.sent.unmatched - before.sent.unmatched, after.sent.redacted - before.sent.redacted,
      after.states.addresses, after.states.blocked, seconds, cpu, peak_rss_bytes());
  return json;
}

std::string summary_text(const pipeline::Metrics& before, const pipeline::Metrics& after,
                         double seconds) {
  const auto events = [&](EventKind kind) {
    const auto i = static_cast<std::size_t>(kind);
    return after.events[i] - before.events[i];
  };
  std::string text;
  const std::uint64_t lines = after.lines.lines - before.lines.lines;
  text +=
      fmt::format("{:<12}{:>14}   {} in {:.2f} s, {} lines/s\n", "lines", with_commas(lines),
                  human_bytes(static_cast<double>(after.lines.bytes - before.lines.bytes)), seconds,
                  with_commas(static_cast<std::uint64_t>(static_cast<double>(lines) /
                                                         std::max(seconds, 1e-6))));
  for (std::size_t i = 1; i < kEventKinds; ++i) {
    const auto kind = static_cast<EventKind>(i);
    if (events(kind) == 0) continue;
    text += fmt::format("{:<12}{:>14}\n", to_string(kind), with_commas(events(kind)));
  }
  const std::uint64_t unparsed = after.lines.unparsed - before.lines.unparsed;
  text += fmt::format("{:<12}{:>14}\n", "unparsed", with_commas(unparsed));
  if (after.lines.loss_alarms != before.lines.loss_alarms) {
    text +=
        fmt::format("{:<12}{:>14}   messages that loggers dropped: bounces are missing\n", "lost",
                    with_commas(after.lines.lost_messages - before.lines.lost_messages));
  }
  const std::uint64_t unmatched = after.sent.unmatched - before.sent.unmatched;
  if (unmatched != 0) {
    text += fmt::format("{:<12}{:>14}   told by mails, of nothing that we sent\n", "unmatched",
                        with_commas(unmatched));
  }
  text += fmt::format("{:<12}{:>14}   with a state\n", "addresses",
                      with_commas(after.states.addresses));
  text += fmt::format("{:<12}{:>14}\n", "blocked", with_commas(after.states.blocked));
  return text;
}

/// How long logs are remembered that are replayed together with mails, in days.
constexpr unsigned kSentDays = 10;

/// With a writer: prints the events of the mails. Else: has the engine accept them.
Result<void> feed_mails(App& app, pipeline::Engine& engine, const Config& config,
                        const std::vector<std::string>& mails, EventWriter* writer) {
  if (mails.empty()) return {};
  const pipeline::Options options = engine_options(config);
  const parse::Context context = mail_context(engine, options);
  if (writer == nullptr) {
    auto source = mail_source(engine);
    if (!source) return tl::unexpected(source.error());
    return read_mails(mails, context, [&](Batch& batch) -> Result<void> {
      if (batch.events.empty()) return {};
      return engine.accept(*source, batch);
    });
  }
  const auto rules = engine.rules();
  Classifier::Options classify_options;
  classify_options.sending_ips = config.sending_ips;
  Classifier classifier(rules, classify_options);
  return read_mails(mails, context, [&](Batch& batch) -> Result<void> {
    if (app.io.broken()) return fail(ErrorCode::cancelled, "parse", "stdout", "nobody reads it");
    pipeline::classify(batch, classifier, *rules);
    std::vector<Event*> events;
    for (Event& event : batch.events) events.push_back(&event);
    writer->write(batch, events);
    return {};
  });
}

int run_pipeline(App& app, const ReplayArgs& args, bool keep) {
  auto config = app.config();
  if (!config) return app.io.report(config.error());
  if (app.live == nullptr) {
    g_interrupted = 0;
    std::signal(SIGINT, [](int) { g_interrupted = 1; });
    std::signal(SIGTERM, [](int) { g_interrupted = 1; });
  }
  pipeline::ReplayConfig replay_config;
  replay_config.cancelled = [&app] {
    return g_interrupted != 0 || app.io.broken() || (app.cancelled && app.cancelled());
  };
  for (const std::string& file : args.files) replay_config.files.push_back(app.path(file));
  const std::vector<std::string> mails = take_mail_files(replay_config.files, args.format);
  replay_config.year = args.year;
  replay_config.timezone = args.timezone;
  if (args.format != "auto") {
    replay_config.format = parse::find_format(args.format);
    if (replay_config.format < 0) {
      return app.io.report(
          {ErrorCode::usage, "format", args.format, "not known", "auto, " + parse::file_formats()});
    }
  }
  const bool json_events = args.events == "-";
  EventWriter writer(app.io);
  std::unique_ptr<pipeline::Engine> own;
  pipeline::Engine* engine = app.live;
  if (engine == nullptr) {
    pipeline::Options options = engine_options(*config);
    if (!keep) {
      options.data_dir.clear();
      options.keep_state = false;
    }
    // The logs beside the mails are read first, and are what these can be matched with.
    if (keep && !mails.empty()) options.sent_days = std::max(options.sent_days, kSentDays);
    if (json_events) {
      options.on_events = [&writer](const Batch& batch, std::span<Event* const> events) {
        writer.write(batch, events);
      };
    }
    auto opened = pipeline::Engine::open(std::move(options));
    if (!opened) return app.io.report(opened.error());
    own = std::move(*opened);
    engine = own.get();
  } else if (json_events) {
    return app.io.report({ErrorCode::usage, "replay", "", "--events - needs no daemon beside it",
                          "use `bounced parse`, or stop the daemon"});
  }
  if (engine == app.live) {
    for (const std::string& file : args.files) {
      if (file == "-") {
        return app.io.report({ErrorCode::usage, "replay", "-", "a daemon cannot read your stdin",
                              "name a file, or stop the daemon"});
      }
    }
  }
  if (json_events) writer.bind(*engine, config->sending_ips);
  const pipeline::Metrics before = engine->metrics();
  const std::int64_t begun = monotonic_us();
  const double cpu_begun = cpu_seconds();
  auto replay = engine->replay(replay_config);
  if (!replay) {
    const bool stopped = replay.error().code == ErrorCode::cancelled && g_interrupted != 0;
    return stopped ? 0 : app.io.report(replay.error());
  }
  bool interrupted = false;
  {
    const ProgressBar bar(app.io, !args.quiet && !(json_events && app.io.out_terminal()), [&] {
      const auto progress = replay->progress();
      const auto lines = engine->metrics().lines.lines - before.lines.lines;
      return ProgressState{progress.bytes_read, progress.bytes_total, lines};
    });
    while (!replay->wait_for(20'000)) {
      interrupted = replay_config.cancelled();
      if (interrupted) break;
    }
  }
  Result<void> result;
  std::optional<Error> mail_error;
  if (interrupted && own != nullptr) {
    result = own->stop();
  } else if (!interrupted) {
    result = replay->wait();
    if (auto fed = feed_mails(app, *engine, *config, mails, keep ? nullptr : &writer); !fed) {
      mail_error = fed.error();
    }
    // Mails are accepted once they are durable; what they change is known when all is applied.
    if (keep && own != nullptr && !mails.empty()) result = own->stop();
  }
  const double seconds = static_cast<double>(monotonic_us() - begun) / 1e6;
  const pipeline::Metrics after = engine->metrics();
  const double cpu = app.live == nullptr ? cpu_seconds() : cpu_seconds() - cpu_begun;
  int status = 0;
  for (const Error& error : replay->errors()) {
    if (error.code != ErrorCode::cancelled) status = app.io.report(error);
  }
  if (mail_error.has_value()) status = app.io.report(*mail_error);
  for (const std::string& notice : replay->notices()) app.io.notice(notice);
  if (!result && replay->errors().empty()) status = app.io.report(result.error());
  const auto progress = replay->progress();
  if (progress.files_known != 0) {
    app.io.notice(fmt::format("{} of {} file(s) were applied before: nothing new in them",
                              progress.files_known, progress.files));
  }
  if (interrupted && (keep || !app.io.broken())) {
    app.io.notice(keep ? "interrupted; what was applied is kept, run it again to go on"
                       : "interrupted");
  }
  if (args.summary == "json") {
    app.io.out(summary_json(before, after, seconds, cpu));
  } else if (keep && !json_events && !args.quiet) {
    app.io.out(summary_text(before, after, seconds));
  }
  if (own != nullptr) {
    const auto stopped = app.process_ends ? pipeline::Engine::finish(std::move(own)) : own->stop();
    if (!stopped && status == 0) {
      status = app.io.report(stopped.error());
    }
  }
  return status;
}

void add_common(CLI::App& command, const std::shared_ptr<ReplayArgs>& args) {
  command
      .add_option("FILE", args->files,
                  "log files (.gz .zst .xz .bz2 too), mails, mboxes, Maildirs; - = stdin")
      ->required();
  command.add_option("--format", args->format, "auto, or a format's name")->type_name("F");
  command.add_option("--year", args->year, "year of the first line, where stamps have none")
      ->type_name("Y")
      ->check(CLI::Range(1970, 9999));
  command.add_option("--tz", args->timezone, "time zone of stamps without offset (default UTC)")
      ->type_name("ZONE");
}

}  // namespace

void add_replay(CLI::App& parser, App& app) {
  CLI::App* command =
      parser.add_subcommand("replay", "read log files into the store, to their end");
  auto args = std::make_shared<ReplayArgs>();
  add_common(*command, args);
  command->add_option("--events", args->events, "- = print every applied event as NDJSON")
      ->check(CLI::IsMember({"-"}));
  command->add_option("--summary", args->summary, "text or json")
      ->check(CLI::IsMember({"text", "json"}));
  command->add_flag("--quiet", args->quiet, "no progress bar, no summary");
  examples(
      *command,
      "  bounced replay /var/log/mail.log.2.gz /var/log/mail.log.1 /var/log/mail.log\n"
      "  bounced replay --summary json --tz Europe/Berlin --year 2025 old.log\n"
      "  zcat mail.log.gz | bounced replay -              stdin has no position: at least once\n"
      "  bounced replay /var/log/mail.log bounces.mbox ~/Maildir   logs, then mails that came "
      "back\n\n"
      "Several files are merged by event time, in whatever order they are named. A file that was\n"
      "applied before is recognised by its content: only what is new in it is read.");
  command->callback([&app, args] {
    app.forwardable = true;
    app.run = [&app, args] { return run_pipeline(app, *args, true); };
  });
}

void add_parse(CLI::App& parser, App& app) {
  CLI::App* command = parser.add_subcommand("parse", "events of log files as NDJSON, no state");
  auto args = std::make_shared<ReplayArgs>();
  add_common(*command, args);
  command->add_flag("--quiet", args->quiet, "no progress bar");
  examples(*command,
           "  bounced parse /var/log/mail.log | jq -r 'select(.kind==\"bounced\").recipient'\n"
           "  bounced parse --format postfix - < mail.log\n"
           "  bounced parse bounce.eml bounces.mbox ~/Maildir      mails that came back");
  command->callback([&app, args] {
    app.run = [&app, args] {
      args->events = "-";
      args->summary = "none";
      return run_pipeline(app, *args, false);
    };
  });
}

}  // namespace bounced::cli
