// bounced whatif: logs, or a store's evidence, under other rules or another policy beside today's.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <filesystem>

#include "base/text.h"
#include "base/time.h"
#include "cli/app.h"
#include "cli/progress.h"
#include "cli/whatif.h"

namespace bounced::cli {
namespace {

namespace fs = std::filesystem;

struct WhatIfArgs {
  std::vector<std::string> files;
  std::string rules, policy, timezone, replay_format = "auto", format = "text";
  int year = 0;
};

volatile std::sig_atomic_t g_stop = 0;

/// A folder for two stores, gone with this.
class TempDir {
 public:
  static Result<std::unique_ptr<TempDir>> make() {
    std::error_code error;
    std::string pattern = (fs::temp_directory_path(error) / "bounced-whatif-XXXXXX").string();
    if (error || ::mkdtemp(pattern.data()) == nullptr) {
      return fail(ErrorCode::io, "make a temporary folder", pattern,
                  error ? error.message() : std::strerror(errno), "TMPDIR may name another place");
    }
    return std::unique_ptr<TempDir>(new TempDir(pattern));
  }
  ~TempDir() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string path(const char* name) const { return path_ + "/" + name; }

 private:
  explicit TempDir(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

struct FileClose {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, FileClose>;

/// What today's side leaves for the other one to compare with: one for each judged event, in order.
struct Judged {
  std::uint64_t event = 0;
  std::uint32_t rule = 0;
  std::uint16_t cause = 0;
  std::uint8_t bounce_class = 0;
  std::uint8_t unused = 0;
};
static_assert(sizeof(Judged) == 16);

/// One engine over the files, in a store of its own.
class Side {
 public:
  Side(App& app, const WhatIfArgs& args, pipeline::Options options)
      : app_(app), args_(args), options_(std::move(options)) {}

  template <class OnEvent>
  Result<void> run(OnEvent on_event) {
    options_.on_events = [&](const Batch& batch, std::span<Event* const> events) {
      for (const Event* event : events) {
        const Verdict* verdict = batch.verdict(*event);
        if (event->failing() && verdict != nullptr) on_event(batch, *event, *verdict);
      }
    };
    auto opened = pipeline::Engine::open(options_);
    if (!opened) return tl::unexpected(opened.error());
    engine_ = std::move(*opened);
    rules_ = engine_->rules();
    pipeline::ReplayConfig config;
    for (const std::string& file : args_.files) config.files.push_back(app_.path(file));
    config.year = args_.year;
    config.timezone = args_.timezone;
    if (args_.replay_format != "auto") config.format = parse::find_format(args_.replay_format);
    config.cancelled = [this] { return g_stop != 0 || app_.io.broken(); };
    auto replay = engine_->replay(config);
    if (!replay) return tl::unexpected(replay.error());
    {
      const ProgressBar bar(app_.io, true, [&] {
        const auto progress = replay->progress();
        return ProgressState{progress.bytes_read, progress.bytes_total,
                             engine_->metrics().lines.lines};
      });
      while (!replay->wait_for(20'000)) {
        if (config.cancelled()) return fail(ErrorCode::cancelled, "whatif", "", "interrupted");
      }
    }
    if (auto done = replay->wait(); !done) return done;
    watermark_us_ = engine_->metrics().watermark_us;
    return engine_->stop();
  }
  [[nodiscard]] const store::Store& store() const { return *engine_->store(); }
  [[nodiscard]] const std::shared_ptr<const RuleSet>& rules() const { return rules_; }
  [[nodiscard]] std::int64_t watermark_us() const { return watermark_us_; }

 private:
  App& app_;
  const WhatIfArgs& args_;
  pipeline::Options options_;
  std::unique_ptr<pipeline::Engine> engine_;
  std::shared_ptr<const RuleSet> rules_;
  std::int64_t watermark_us_ = 0;
};

/// Two stores of one secret, so that an address has the same key in both.
Result<void> make_twins(const TempDir& dir, const pipeline::Options& options) {
  store::OpenOptions open;
  open.fold_local_part = options.fold_local_part;
  if (auto made = store::Store::open(dir.path("today"), open); !made) {
    return tl::unexpected(made.error());
  }
  std::error_code error;
  fs::copy(dir.path("today"), dir.path("then"), fs::copy_options::recursive, error);
  if (error) return fail(ErrorCode::io, "copy", dir.path("today"), error.message());
  return {};
}

Result<void> compare_logs(App& app, const WhatIfArgs& args, const pipeline::Options& today_options,
                          const pipeline::Options& then_options, WhatIf& diff) {
  auto dir = TempDir::make();
  if (!dir) return tl::unexpected(dir.error());
  if (auto made = make_twins(**dir, today_options); !made) return made;
  const File judged(std::tmpfile());
  if (judged == nullptr) return fail(ErrorCode::io, "whatif", "tmpfile", std::strerror(errno));

  pipeline::Options options = today_options;
  options.data_dir = (*dir)->path("today");
  Side today(app, args, options);
  bool written = true;
  auto ran = today.run([&](const Batch&, const Event& event, const Verdict& verdict) {
    const Judged one{event.id, verdict.rule, static_cast<std::uint16_t>(verdict.cause),
                     static_cast<std::uint8_t>(verdict.bounce_class), 0};
    written = written && std::fwrite(&one, sizeof one, 1, judged.get()) == 1;
  });
  if (!ran) return ran;
  if (!written || std::fflush(judged.get()) != 0) {
    return fail(ErrorCode::io, "whatif", "temporary file", std::strerror(errno));
  }
  std::rewind(judged.get());

  options = then_options;
  options.data_dir = (*dir)->path("then");
  Side then(app, args, options);
  bool paired = true;
  ran = then.run([&](const Batch& batch, const Event& event, const Verdict& verdict) {
    Judged one;
    paired = paired && std::fread(&one, sizeof one, 1, judged.get()) == 1 && one.event == event.id;
    if (!paired) return;
    Verdict before;
    before.cause = static_cast<Cause>(one.cause);
    before.bounce_class = static_cast<BounceClass>(one.bounce_class);
    before.rule = one.rule;
    diff.verdict({*today.rules(), before}, {*then.rules(), verdict}, batch.view(event.diagnostic),
                 batch.view(event.recipient));
  });
  if (!ran) return ran;
  if (!paired) {
    return fail(ErrorCode::io, "whatif", "", "the files changed between the two runs",
                "name files that are not written to, or try again");
  }
  return diff.blocks({today.store(), *today.rules()}, {then.store(), *then.rules()},
                     then.watermark_us());
}

/// The other side: a folder with a causes.toml is a whole set, any other comes before the built-in.
Result<void> other_side(App& app, const WhatIfArgs& args, pipeline::Options& options) {
  if (!args.rules.empty()) {
    const std::string dir = app.path(args.rules);
    std::error_code ignored;
    if (fs::exists(fs::path(dir) / "causes.toml", ignored)) {
      options.rules.rules_dir = dir;
      options.rules.operator_dirs.clear();
    } else {
      options.rules.operator_dirs = {dir};
    }
  }
  if (!args.policy.empty()) options.policy_file = app.path(args.policy);
  return {};
}

int whatif(App& app, const WhatIfArgs& args) {
  if (args.rules.empty() && args.policy.empty()) {
    return app.io.report({ErrorCode::usage, "whatif", "", "nothing differs from today",
                          "name --rules, --policy, or both"});
  }
  if (args.replay_format != "auto" && parse::find_format(args.replay_format) < 0) {
    return app.io.report({ErrorCode::usage, "format", args.replay_format, "not known", ""});
  }
  for (const std::string& file : args.files) {
    if (file != "-") continue;
    return app.io.report(
        {ErrorCode::usage, "whatif", "-", "stdin cannot be read twice", "name a file"});
  }
  auto config = app.config();
  if (!config) return app.io.report(config.error());
  g_stop = 0;
  std::signal(SIGINT, [](int) { g_stop = 1; });
  std::signal(SIGTERM, [](int) { g_stop = 1; });
  pipeline::Options today = engine_options(*config);
  today.rules.cache_dir.clear();
  pipeline::Options then = today;
  if (auto set = other_side(app, args, then); !set) return app.io.report(set.error());
  WhatIf diff;
  const auto done = args.files.empty() ? compare_evidence(app, today, then, diff)
                                       : compare_logs(app, args, today, then, diff);
  if (!done) return app.io.report(done.error());
  app.io.out(args.format == "ndjson" ? diff.as_json() : diff.as_text());
  return 0;
}

}  // namespace

void add_whatif(CLI::App& parser, App& app) {
  CLI::App* command = parser.add_subcommand(
      "whatif", "what other rules or another policy would change; changes nothing");
  auto args = std::make_shared<WhatIfArgs>();
  command->add_option("FILE", args->files,
                      "log files (.gz .zst .xz .bz2 too); none = the evidence of --data's store");
  command
      ->add_option("--rules", args->rules,
                   "own rules in place of the configured ones; with a causes.toml: a whole set")
      ->type_name("DIR");
  command->add_option("--policy", args->policy, "a policy file in place of the one in force")
      ->type_name("FILE");
  command
      ->add_option("--replay-format", args->replay_format, "of the logs: auto, or a format's name")
      ->type_name("F");
  command->add_option("--year", args->year, "year of the first line, where stamps have none")
      ->type_name("Y")
      ->check(CLI::Range(1970, 9999));
  command->add_option("--tz", args->timezone, "time zone of stamps without offset (default UTC)")
      ->type_name("ZONE");
  command->add_option("--format", args->format, "text or ndjson")
      ->check(CLI::IsMember({"text", "ndjson"}));
  examples(*command,
           "  bounced whatif --rules own/ /var/log/mail.log.1 /var/log/mail.log\n"
           "  bounced whatif --policy strict.toml --data /var/lib/bounced\n\n"
           "Logs are replayed twice, from nothing, into stores of their own under $TMPDIR that are "
           "removed at the end:\nwhat differs are verdicts of failures and who is blocked when the "
           "logs end. A store's evidence is the\nlast failures of each address, judged one by one: "
           "no domains, incidents or outages.");
  command->callback([&app, args] { app.run = [&app, args] { return whatif(app, *args); }; });
}

}  // namespace bounced::cli
