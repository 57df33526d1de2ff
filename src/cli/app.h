// App: one invocation of the command line, in the operator's process or inside the daemon.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/result.h"
#include "cli/config.h"
#include "cli/io.h"
#include "pipeline/engine.h"

namespace CLI {
class App;
}

namespace bounced::cli {

class HttpService;
class MailWatch;

/// What a command gets to work with.
struct App {
  explicit App(Io& i) : io(i) {}
  Io& io;
  std::string cwd;                   ///< of the caller
  std::uint32_t uid = 0;             ///< of the caller
  pipeline::Engine* live = nullptr;  ///< inside the daemon: its engine
  const Config* live_config = nullptr;
  const HttpService* live_http = nullptr;  ///< inside the daemon, if it has one
  const MailWatch* live_mails = nullptr;   ///< the same
  bool process_ends = false;               ///< behind the command: its memory need not be freed
  std::function<bool()> cancelled;         ///< true when the caller is gone or asked to stop

  // --- common options
  std::string data_dir;     ///< --data
  std::string config_file;  ///< --config
  std::string log_level;    ///< --log-level

  // --- set by the chosen command
  std::function<int()> run;
  bool forwardable = false;  ///< goes to the daemon when one runs
  bool delivers = false;     ///< for an MTA: whatever goes wrong is EX_TEMPFAIL (sysexits.h)

  /// A path of the caller's, absolute.
  [[nodiscard]] std::string path(const std::string& p) const;
  /// The configuration in force: file if given, then --data.
  Result<Config> config() const;
  [[nodiscard]] std::string data() const;
};

/// Parses `args` (without the program's name) and runs the command. Returns the exit status.
int run_app(App& app, const std::vector<std::string>& args);

/// Runs the command inside the daemon that owns `data_dir`, if one answers there.
/// not_found: no daemon.
Result<int> forward(const std::string& data_dir, const App& app,
                    const std::vector<std::string>& args);

/// Serves the control socket of a running daemon until destroyed.
class ControlServer {
 public:
  /// `http` and `mails` may be null; they must not go before this.
  static Result<std::unique_ptr<ControlServer>> start(pipeline::Engine& engine,
                                                      const Config& config, const HttpService* http,
                                                      const MailWatch* mails);
  ~ControlServer();

 private:
  ControlServer();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// EX_TEMPFAIL of sysexits.h: an MTA keeps the mail and tries again.
inline constexpr int kTempFail = 75;
/// Prints the error's line; the exit status for it.
int failed(App& app, const Error& error);

/// How a command reaches the store: the daemon's, or its own while it lasts.
class Session {
 public:
  /// Read view; inside the daemon everything applied so far is made durable first.
  static Result<std::unique_ptr<Session>> read(const App& app);
  /// With an engine, for changes. `must_exist`: an error where there is no store yet.
  static Result<std::unique_ptr<Session>> write(const App& app, bool must_exist);
  ~Session();

  [[nodiscard]] const store::Store& store() const;
  [[nodiscard]] const store::Names& names() const;
  [[nodiscard]] const AddressHasher& hasher() const;
  [[nodiscard]] pipeline::Engine* engine() const;
  [[nodiscard]] const RuleSet& rules() const;
  [[nodiscard]] const Policy& policy() const;

 private:
  Session();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// --- commands: each adds itself to the parser
void add_run(CLI::App& parser, App& app);
void add_replay(CLI::App& parser, App& app);
void add_parse(CLI::App& parser, App& app);
void add_deliver(CLI::App& parser, App& app);
void add_trace(CLI::App& parser, App& app);
void add_classify(CLI::App& parser, App& app);
void add_explain(CLI::App& parser, App& app);
void add_address(CLI::App& parser, App& app);
void add_list(CLI::App& parser, App& app);
void add_report(CLI::App& parser, App& app);
void add_changes(CLI::App& parser, App& app);
void add_rules(CLI::App& parser, App& app);
void add_whatif(CLI::App& parser, App& app);
void add_config(CLI::App& parser, App& app);
void add_digest(CLI::App& parser, App& app);
void add_doctor(CLI::App& parser, App& app);
void add_status(CLI::App& parser, App& app);
void add_version(CLI::App& parser, App& app);
void add_webhook(CLI::App& parser, App& app);

/// The rule set of --config (or built in); `known_causes`: as the store numbers them, if there is
/// one.
Result<std::shared_ptr<const RuleSet>> rules_of(const App& app,
                                                std::vector<std::string> known_causes = {});
/// Adds an "Examples:" footer.
void examples(CLI::App& command, std::string_view text);

}  // namespace bounced::cli
