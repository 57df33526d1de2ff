// Apply: the one order of all change. Orders batches, resolves times, runs correlate over them,
// hands them to states and rates (state_stage.h), and cuts.
#pragma once

#include <memory>
#include <vector>

#include "pipeline/engine_impl.h"
#include "pipeline/state_stage.h"

namespace bounced::pipeline {

class Apply {
 public:
  explicit Apply(Engine::Impl& engine) : engine_(engine), stage_(engine) {}
  void run();

 private:
  // --- messages
  void handle(Message& message);
  void take_change(const std::shared_ptr<ChangeRequest>& request);
  // --- lanes (lane order, merging)
  void sync_lanes();
  void load_head(Lane& lane);
  void begin_file(Lane& lane, const Block& block);
  static void see_times(Lane& lane);
  static void resolve_times(Lane& lane);
  void update_head_time(Lane& lane);
  Lane* choose(std::int64_t& until_us);
  bool group_ready(Replay::Impl& replay, std::int64_t& barrier_us);
  bool step();
  void correlate(Lane& lane, std::int64_t until_us);
  [[nodiscard]] bool wants_matching(const Lane& lane, const Block& block) const;
  void trust_reports(const Lane& lane, Batch& batch) const;
  /// Every record of the lane's batch is taken; `applied`: states have seen them, too.
  void finish_batch(Lane& lane, bool applied);
  void warn_of_loss(const Lane& lane);
  /// Of a push lane: its records leave the inbox with the next cut.
  void finish_records(const Block& block);
  Result<void> add_records(store::WriteSet& set);
  void check_replays();
  void fail_waiting();
  // --- cuts
  void note_position(Lane& lane, std::uint64_t offset);
  void add_positions(store::WriteSet& set);
  [[nodiscard]] std::size_t dirty_bytes() const;
  bool cut_due() const;
  /// The next cut is full, and the last one is not durable yet.
  bool must_wait() const;
  void start_cut();
  void finish_cut(const Result<void>& result);
  void tick();
  void settle();
  void tick_now();
  void publish();
  /// With all that was handed to the stage.
  void publish_all();

  Engine::Impl& engine_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<std::shared_ptr<Replay::Impl>> replays_;     // not yet applied in whole
  std::vector<std::shared_ptr<Replay::Impl>> ending_;      // applied; waiting for a cut to start
  std::vector<std::shared_ptr<Replay::Impl>> ending_cut_;  // waiting for the cut in flight
  std::vector<std::shared_ptr<ChangeRequest>> waiting_;    // for a cut to start
  std::vector<std::shared_ptr<ChangeRequest>> waiting_cut_;
  std::vector<ingest::Position> positions_cut_;   // of the cut in flight
  std::vector<ingest::Position> finished_files_;  // files done since the last cut
  std::unique_ptr<Cut> spare_cut_;
  bool cut_running_ = false;
  bool changed_ = false;  ///< something to cut beside dirty states (positions)
  // Records of the inbox that were applied since the last cut began.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> records_;
  std::uint64_t records_next_ = 0;
  std::size_t records_bytes_ = 0;
  bool pushed_last_ = false;  ///< the last step took a push lane's batch
  bool stop_ = false;
  bool dead_ = false;  ///< the store cannot be written: apply nothing more
  std::int64_t last_cut_us_ = 0;
  std::uint64_t remembered_cut_ = 0;  ///< Sent::Stats::remembered when the last cut began
  std::int64_t last_publish_us_ = 0;
  std::int64_t watermark_us_ = 0;
  std::int64_t last_tick_us_ = 0;
  Metrics metrics_;
  StateStage stage_;  ///< last: its thread ends before anything else here goes
};

}  // namespace bounced::pipeline
