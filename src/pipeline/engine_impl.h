// What the parts of the engine share. Private to src/pipeline.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/threads.h"
#include "pipeline/engine.h"
#include "pipeline/inbox.h"
#include "pipeline/lanes.h"
#include "pipeline/seen.h"

namespace bounced::pipeline {

/// A change asked of the apply thread; answered after the cut that holds it.
struct ChangeRequest {
  /// The first argument is null in an engine that keeps no state.
  std::function<Result<void>(state::States*, store::Names&)> run;
  std::promise<Result<void>> answer;
  bool durable = false;  ///< answered only when the cut that holds it is committed
};

/// What one commit takes; goes to the commit thread and comes back empty, with its memory.
struct Cut {
  store::WriteSet set;
  bool sync = true;
};

struct Message {
  enum class Kind : std::uint8_t { batch, change, wake, committed, stop };
  Kind kind = Kind::wake;
  std::unique_ptr<Batch> batch;
  std::shared_ptr<ChangeRequest> change;
  Result<void> committed;
  std::unique_ptr<Cut> cut;  ///< of `committed`
};

/// State of one replay, shared by its feeder, apply, and whoever waits.
struct Replay::Impl {
  std::shared_ptr<Group> group = std::make_shared<Group>();
  std::unique_ptr<BlockPool> pool;
  std::vector<std::shared_ptr<LaneInfo>> lanes;
  std::atomic<std::uint64_t> bytes_total{0}, bytes_read{0}, files_done{0}, files_known{0};
  std::uint64_t files = 0;
  std::atomic<bool> fed{false};  ///< the feeder will push nothing more

  mutable std::mutex mutex;
  std::condition_variable finished;
  bool done = false;
  std::vector<Error> errors;
  std::vector<std::string> notices;
  std::optional<Error> fatal;

  void add_error(Error error) {
    const std::lock_guard lock(mutex);
    errors.push_back(std::move(error));
  }
  void add_notice(std::string notice) {
    const std::lock_guard lock(mutex);
    notices.push_back(std::move(notice));
  }
  [[nodiscard]] bool is_done() const {
    const std::lock_guard lock(mutex);
    return done;
  }
  void finish(std::optional<Error> with) {
    const std::lock_guard lock(mutex);
    done = true;
    if (with.has_value()) fatal = std::move(with);
    finished.notify_all();
  }
};

/// Parses blocks and classifies their failures, for the thread that made it; apply gets the
/// batches.
class Worker {
 public:
  explicit Worker(Engine::Impl& engine);
  void take(BlockPtr block);

 private:
  /// Takes up rules that were loaded meanwhile.
  void renew();

  Engine::Impl& engine_;
  std::uint32_t version_ = 0;  ///< of rules_, as Impl::rules_version
  std::shared_ptr<const RuleSet> rules_;
  std::optional<Classifier> classifier_;
  Classifier::Stats before_;  ///< of classifiers that are gone
  std::size_t slot_ = 0;      ///< in Impl::worker_stats
};

/// In Family::meta: sequence of the inbox's next record, as of the last cut that erased some.
inline constexpr std::string_view kInboxNextKey = "inbox/next";

struct Engine::Impl {
  explicit Impl(Options o) : options(std::move(o)) {}

  Options options;
  std::shared_ptr<const RuleSet> rules;         ///< in force; guarded by rules_mutex
  std::list<Policy> policies;                   ///< the last is in force; guarded by rules_mutex
  mutable std::mutex rules_mutex;               ///< held for moments only
  std::mutex reload_mutex;                      ///< held while one reload is under way
  std::atomic<std::uint32_t> rules_version{1};  ///< raised when `rules` changes
  RuleHits hits;                                ///< belongs to whom states belong to
  std::unique_ptr<store::Store> store;
  AddressHasher hasher;
  parse::Context context;
  store::Names names;
  std::unique_ptr<correlate::Correlator> correlator;
  std::unique_ptr<state::States> states;
  std::unique_ptr<rates::Rates> rates;
  ingest::PositionBook book;
  Registry registry;
  std::atomic<std::uint64_t> ram_file_key{1};

  // Pools outlive the queues that carry their blocks.
  BlockPool live_pool{limits::kBlocksMax};
  std::unique_ptr<Inbox> push;            ///< with a store and states; it has a pool of its own
  Seen seen;                              ///< apply's
  std::unique_ptr<correlate::Sent> sent;  ///< apply's
  std::vector<std::shared_ptr<Replay::Impl>> replays;  // guarded by mutex
  BlockingQueue<BlockPtr> blocks;
  BlockingQueue<Message> inbox;               // of apply
  std::vector<std::unique_ptr<Batch>> spare;  // guarded by spare_mutex
  std::mutex spare_mutex;

  // --- commit: one cut at a time
  BlockingQueue<std::unique_ptr<Cut>> cuts;

  mutable std::mutex mutex;
  std::vector<std::unique_ptr<ingest::Tail>> tails;
  std::map<std::uint64_t, ingest::Position> remembered;  ///< by file, for the next cut
  std::atomic<bool> anything_remembered{false};
  std::vector<std::thread> feeders, workers;
  std::thread apply_thread, commit_thread, replay_feeder;
  std::weak_ptr<Replay::Impl> last_replay;  // guarded by mutex
  bool replay_opens = false;                // guarded by mutex
  std::atomic<bool> stopping{false};
  bool stopped = false;
  std::optional<Error> fatal_error;
  std::function<void()> fatal_callback;

  // --- counters
  std::atomic<std::uint64_t> ingest_blocks{0}, ingest_errors{0};
  std::atomic<std::uint64_t> live_bytes_applied{0};  ///< of what tails handed out
  mutable std::mutex metrics_mutex;
  Metrics published;
  std::vector<Classifier::Stats> worker_stats;  ///< one for each Worker that was ever made

  Result<void> start();
  Result<void> open_store();
  Result<void> open_rules();
  void begin_rules();
  /// Of live files, what is not applied yet: neither read nor on its way through the stages.
  [[nodiscard]] std::uint64_t lag_bytes() const;
  void publish_rules(std::shared_ptr<const RuleSet> set, const Policy& policy);
  /// Runs on apply's thread while states are idle, and returns when it has.
  Result<void> ask(std::function<Result<void>(state::States*, store::Names&)> run);
  void start_threads();
  void feed_tail(std::size_t index, const TailConfig& config, std::uint32_t source);
  bool take_replay_turn(const std::function<bool()>& cancelled);
  void begin_replay(const ReplayConfig& config, const std::shared_ptr<Replay::Impl>& replay);
  std::vector<std::unique_ptr<ingest::FileReader>> open_replay(const ReplayConfig& config,
                                                               Replay::Impl& replay);
  bool is_left_out(const ingest::FileReader& reader, Replay::Impl& replay);
  std::shared_ptr<LaneInfo> add_lane(const ReplayConfig& config, const ingest::FileReader& reader,
                                     Replay::Impl& replay, bool alone);
  void feed_replay(const std::shared_ptr<Replay::Impl>& replay,
                   std::vector<std::unique_ptr<ingest::FileReader>> readers);
  void work(std::size_t index);
  void apply();
  void commit();
  std::uint32_t intern(store::Dictionary dictionary, const std::string& name);
  void die(Error error);
  std::unique_ptr<Batch> take_batch();  ///< the one used last: its memory is still in a cache
  /// A batch of that lane is done with: it goes back, its block to the pool, and the feeder is
  /// told.
  void put_batch(std::unique_ptr<Batch> batch, LaneInfo& lane);
};

/// Event time (UTC) of the first record in `head`, by `format` (or probed); INT64_MIN when there
/// is none.
std::int64_t first_time(const parse::Context& context, std::string_view head, int format,
                        const std::string& timezone, TimeResolver::State state, int year);

}  // namespace bounced::pipeline
