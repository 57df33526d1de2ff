// Inbox: what push sources told (webhooks, piped mails), durable before anybody is told so.
//
//   accept() on any thread: events to bytes, behind those that wait
//     -> writer thread: all that wait, one synced write; then their callers are answered
//     -> feeder thread: the same bytes as blocks of a lane; after a restart those still stored
//     -> a worker reads events from them, apply takes them; the cut that holds what they changed
//        erases their records
//
// Thread safety: accept(), add() and figures from any thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/block.h"
#include "parse/push.h"
#include "pipeline/engine.h"

namespace bounced::pipeline {

struct LaneInfo;

class Inbox {
 public:
  explicit Inbox(Engine::Impl& engine) : engine_(engine) {}
  ~Inbox();
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  /// Finds where the sequence goes on; what is stored will be applied. Before other threads run.
  Result<void> open();
  /// Begins to apply what open() found.
  void start();
  Result<PushId> add(parse::PushSource source);
  void accept(PushId source, const Batch& batch, Engine::Accepted done);
  /// Apply has taken every record before that sequence.
  void applied(std::uint64_t end) { applied_.store(end, std::memory_order_release); }
  /// Returns when apply has taken what was accepted so far, or that time is over.
  void wait_applied(std::int64_t timeout_us) const;
  /// Answers no more; what was accepted goes to apply. Idempotent.
  void stop();
  /// The engine applies nothing any more.
  void abort();

  [[nodiscard]] PushMetrics metrics() const;

 private:
  struct Waiter {
    Engine::Accepted done;
    std::uint32_t events = 0;
  };
  /// Events of one record, as callers add them.
  struct Draft {
    std::string events;
    std::vector<PushId> sources;  ///< few
  };
  struct Record {
    std::uint64_t sequence = 0;
    std::string bytes;
    std::size_t backlog = 0;  ///< of backlog_
  };
  Draft& open_draft(PushId source);
  void write();
  void commit(std::vector<Draft>& drafts, std::vector<Waiter>& waiters);
  Result<void> put(std::vector<Draft>& drafts, std::vector<Record>& records);
  void hand_on(std::vector<Record>& records);
  void feed();
  void feed_stored(std::shared_ptr<LaneInfo>& lane);
  bool push(LaneInfo& lane, std::uint64_t sequence, std::string_view record);
  bool flush(LaneInfo& lane);
  std::shared_ptr<LaneInfo> new_lane(bool live);
  void resolve(std::uint32_t number, const parse::PushSource& source, parse::PushIds& out);

  Engine::Impl& engine_;
  mutable std::mutex mutex_;  ///< of what callers see
  std::condition_variable work_;
  std::vector<std::unique_ptr<parse::PushSource>> sources_;
  std::vector<Draft> drafts_;
  std::vector<Waiter> waiters_;
  bool running_ = false, stopping_ = false, stopped_ = false;

  std::mutex feed_mutex_;  ///< between the writer and the feeder
  std::condition_variable feed_work_;
  std::deque<Record> records_;
  bool fed_all_ = false;  ///< the writer is done

  // The writer's, then the feeder's.
  std::uint64_t next_ = 0;        ///< sequence of the next record
  std::uint64_t stored_end_ = 0;  ///< records before it were there at the start
  std::int64_t accepted_us_ = 0;  ///< never going back
  std::map<std::string, parse::PushIds> ids_;
  std::unique_ptr<BlockPool> pool_;
  BlockPtr block_{nullptr, BlockReturn{nullptr}};
  std::uint64_t lane_sequence_ = 0;

  std::atomic<std::uint64_t> written_{0}, applied_{0};  ///< ends of sequences
  std::atomic<std::size_t> backlog_{0};                 ///< bytes between accept() and a block
  std::atomic<std::uint64_t> requests_{0}, events_{0}, clamped_{0}, overloaded_{0}, failed_{0};
  std::atomic<std::uint64_t> groups_{0}, group_us_{0}, damaged_{0};
  std::thread writer_, feeder_;
};

}  // namespace bounced::pipeline
