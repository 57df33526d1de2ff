// Engine: the topology. Threads, queues, back-pressure, cuts, shutdown; knows every stage.
//
//   feeders (one per [[tail]], one per replay) -> blocks -> workers (parse, classify)
//     -> batches -> apply (order, time, correlate) -> state (states, rates)
//     -> cut, begun by apply, completed by state -> committer (store)
//
// Invariants:
//  1. Only the apply thread touches the correlator; states, rates and names (but for Names::text)
//     are the state thread's while it has work, else the apply thread's.
//  2. What apply changed leaves in cuts only; at most one cut is on its way to the store.
//  3. Blocks come from bounded pools: nothing between feeder and apply can grow without bound.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/batch.h"
#include "bounced/classifier.h"
#include "bounced/limits.h"
#include "bounced/policy.h"
#include "bounced/result.h"
#include "correlate/correlate.h"
#include "correlate/sent.h"
#include "ingest/ingest.h"
#include "parse/parse.h"
#include "parse/push.h"
#include "pipeline/rule_hits.h"
#include "rates/rates.h"
#include "state/state.h"
#include "store/names.h"
#include "store/store.h"

namespace bounced::pipeline {

struct Options {
  std::string data_dir;  ///< empty = no store: everything in RAM, nothing kept
  /// Under the store (store::OpenOptions::files); null: the machine's own files.
  std::shared_ptr<rocksdb::FileSystem> files;
  bool fold_local_part = true;
  RuleSetOptions rules;
  std::vector<std::string> sending_ips;
  std::string policy_file;  ///< empty = built in
  std::string campaign_header = "X-Campaign";
  parse::RelayHosts smarthosts;
  parse::RelayHosts relays;
  std::vector<correlate::StreamRule> streams;
  /// What logs tell of is remembered for so many days, for mails that come back to be matched with;
  /// 0 = not at all, and no mail is believed but those whose return path proves it.
  unsigned sent_days = 0;
  /// What MTAs log of reports that came back as mails (KumoMTA's OOB and Feedback, PowerMTA's rb
  /// and f) is believed as it is; else it is matched as these mails are.
  bool trust_logged_reports = false;
  bool sent_recipients = false;  ///< and to whom, for reports that name the message only
  parse::mail::VerpOptions verp;
  unsigned workers = 0;  ///< parsing threads; 0 = one for two cores
  std::size_t table_bytes = limits::kStateTableBytes;
  std::int64_t cut_interval_us = limits::kCutIntervalUs;
  /// A cut leaves early when this much is dirty. When as much again is dirty before it is durable,
  /// applying waits: a slow disk costs time, not memory.
  std::size_t dirty_bytes_max = limits::kDirtyBytesMax;
  bool keep_state = true;  ///< false (parse): no states, no rates
  /// Called with applied events, on one thread at a time, in order; texts and names are valid.
  std::function<void(const Batch&, std::span<Event* const>)> on_events;
};

struct TailConfig {
  ingest::TailOptions tail;
  std::string timezone;
};

struct ReplayConfig {
  std::vector<std::string> files;  ///< "-" = stdin
  int format = -1;
  int year = 0;  ///< of the first line; 0 = from the file's mtime
  std::string timezone;
  bool fresh = false;  ///< do not look for known positions (no store)
  /// Asked while the replay waits for another one, or for the first bytes of a pipe.
  std::function<bool()> cancelled;
};

/// Counted per stage; received = sent + dropped + errors for every stage at rest.
struct StageCounters {
  std::uint64_t received = 0, sent = 0, dropped = 0, errors = 0;
};

/// A push source of an engine (Engine::add_push).
using PushId = std::uint32_t;

/// The inbox, since the engine was opened.
struct PushMetrics {
  std::uint64_t requests = 0, events = 0;      ///< accepted: durable
  std::uint64_t clamped = 0;                   ///< events with a stamp far ahead, or none
  std::uint64_t overloaded = 0;                ///< requests refused for the backlog
  std::uint64_t failed = 0;                    ///< requests the store did not take
  std::uint64_t damaged = 0;                   ///< stored records that could not be read
  std::uint64_t groups = 0, group_us = 0;      ///< synced writes, and how long they took
  std::uint64_t backlog_bytes = 0;             ///< accepted and not yet on the way to apply
  std::uint64_t duplicates = 0;                ///< events that were applied before
  std::uint64_t keys = 0, keys_forgotten = 0;  ///< by which duplicates are known
};

/// A moment's figures; cheap to take.
struct Metrics {
  StageCounters ingest;     ///< blocks
  StageCounters parse;      ///< lines in, records out
  StageCounters classify;   ///< failing events
  StageCounters correlate;  ///< records
  StageCounters state;      ///< events
  StageCounters commit;     ///< cuts
  ParseCounts lines;
  Classifier::Stats classifier;
  correlate::Correlator::Stats correlator;
  std::uint64_t events[kEventKinds] = {};  ///< applied, by kind
  state::Counts counts;
  state::States::Stats states;
  store::Store::Stats store;
  rates::Cell total;
  PushMetrics push;
  correlate::Sent::Stats sent;
  std::size_t blocks_queued = 0, batches_queued = 0;
  std::int64_t watermark_us = 0;  ///< newest event time applied
  std::uint64_t lag_bytes = 0;    ///< of all live files: written, not applied
  std::int64_t lag_us = 0;        ///< clock - watermark while there is a lag, else 0
  std::int64_t loss_seen_us = 0;  ///< clock: a logger last told of lost messages; 0 = never
};

/// What operators are to be told of messages that loggers dropped before anybody could read them;
/// empty when none of it was told within the last hour. Bounces are missing then: a daemon with
/// such a trouble is not healthy.
std::string loss_trouble(const Metrics& metrics, std::int64_t now_us);

/// What a reload of rules and policy did.
struct RuleReload {
  std::size_t rules = 0, samples = 0;
  bool changed = false;         ///< false: the files say what was in force already
  std::int64_t elapsed_us = 0;  ///< from asking to being in force
};

/// A replay that runs; progress may be read from any thread.
class Replay {
 public:
  struct Progress {
    std::uint64_t bytes_total = 0;  ///< on disk; 0 = unknown (stdin)
    std::uint64_t bytes_read = 0;   ///< on disk
    std::uint64_t files_done = 0, files = 0;
    std::uint64_t files_known = 0;  ///< already applied in whole: nothing to do
    bool done = false;
  };
  [[nodiscard]] Progress progress() const;
  /// Returns when every line is applied and durable, or the engine stopped. Errors of single files
  /// (unreadable, truncated) do not stop the others; the first is returned here.
  Result<void> wait();
  /// True when it is over; waits up to timeout_us.
  [[nodiscard]] bool wait_for(std::int64_t timeout_us) const;
  /// Every file's trouble.
  [[nodiscard]] std::vector<Error> errors() const;
  /// Files that were left out, and why.
  [[nodiscard]] std::vector<std::string> notices() const;

  struct Impl;  // of the engine's own parts

 private:
  friend class Engine;
  std::shared_ptr<Impl> impl_;
};

/// Gives every failing event its verdict. Any thread; the classifier is the caller's.
void classify(Batch& batch, Classifier& classifier, const RuleSet& rules);

/// Thread safety: every method from any thread.
class Engine {
 public:
  static Result<std::unique_ptr<Engine>> open(Options options);
  ~Engine();  ///< stops

  Result<void> add_tail(TailConfig config);
  /// Begins when the replay before it is over. Files that a tail follows are left to it.
  Result<Replay> replay(const ReplayConfig& config);

  /// A source of events that are pushed, for accept(). Each call makes a new one. Errors: usage (no
  /// store, no state).
  Result<PushId> add_push(parse::PushSource source);
  /// Called on a thread of the engine, once: no value when everything is durable, else busy (the
  /// backlog is full), cancelled (stopping) or what the store said. Must not block.
  using Accepted = absl::AnyInvocable<void(const Result<void>&)>;
  /// Makes the events of `batch` durable, then applied; takes a copy of what it needs before it
  /// returns. Events: UTC times, recipient and ids set, texts as parse leaves them; Batch::keys by
  /// event, or fewer where nothing tells an event told again. The batch needs no block.
  void accept(PushId source, const Batch& batch, Accepted done);
  /// The same; returns when it is durable.
  Result<void> accept(PushId source, const Batch& batch);

  /// Where a reader of its own (an mbox) goes on after a restart: leaves with the next cut, and is
  /// in book() then. What precedes it must be accepted before. Any thread.
  void remember(const ingest::Position& position);
  /// All positions, as of the last cut.
  [[nodiscard]] ingest::PositionBook& book();

  /// Runs `change` on the apply thread and returns its result once that is durable.
  Result<void> change(std::function<Result<void>(state::States&, store::Names&)> change);
  /// Everything applied so far is durable on return; what was accepted is waited for, up to 2 s.
  Result<void> flush();
  /// Reads the rule files and the policy file of the options again, proves the rules by their own
  /// samples, and puts both in force for what is classified and decided from then on. Any error
  /// (file:line) leaves what is in force as it is. The engine goes on meanwhile.
  Result<RuleReload> reload_rules();
  /// Which rules decided how often, as applied so far; in no order.
  [[nodiscard]] std::vector<RuleHit> rule_hits() const;
  /// RuleHits::at_cut(), which waits for nobody.
  [[nodiscard]] std::vector<RuleHit> rule_hits_at_cut(std::size_t most) const;
  /// Drains what was read, cuts, joins. Idempotent. Returns the first fatal error, if any.
  Result<void> stop();
  /// The last act of a process: stop()s, closes the store, and leaves the tables to the end of the
  /// process, which frees their memory at once instead of piece by piece.
  static Result<void> finish(std::unique_ptr<Engine> engine);
  /// A fatal error (the store cannot be written) that ended the engine.
  [[nodiscard]] std::optional<Error> fatal() const;
  /// Called once, from an engine thread, when a fatal error ends it.
  void on_fatal(std::function<void()> callback);

  [[nodiscard]] Metrics metrics() const;
  [[nodiscard]] std::vector<ingest::Tail::FileState> files() const;
  /// What is wrong with a source now, in words; empty = healthy. Files that cannot be read, files
  /// that grow (limits::kSilentBytesMax) while no line of theirs can be parsed, and messages that
  /// loggers dropped.
  [[nodiscard]] std::vector<std::string> troubles() const;
  [[nodiscard]] const store::Store* store() const;  ///< nullptr without one
  [[nodiscard]] const store::Names& names() const;
  [[nodiscard]] std::shared_ptr<const RuleSet> rules() const;
  /// In force now; stays valid, though a reload may have put another one in force.
  [[nodiscard]] const Policy& policy() const;
  [[nodiscard]] const AddressHasher& hasher() const;
  [[nodiscard]] const state::BlockView& view() const;

  struct Impl;  // of the engine's own parts

 private:
  Engine();
  std::unique_ptr<Impl> impl_;
};

}  // namespace bounced::pipeline
