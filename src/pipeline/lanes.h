// Lanes: ordered streams of blocks, and how apply chooses among them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "base/batch.h"
#include "base/time.h"
#include "correlate/correlate.h"
#include "ingest/ingest.h"

namespace bounced::pipeline {

/// Files given to one replay: merged by event time, so that their order on the command line, and
/// how fast each is read, do not matter.
struct Group {
  std::mutex mutex;
  std::condition_variable changed;          ///< a block came back, or activation moved
  std::int64_t activate_until = INT64_MIN;  ///< lanes whose first record is not later must be read
  bool stopping = false;
};

/// What a feeder knows of a lane and apply needs. Shared by both.
struct LaneInfo {
  std::uint32_t id = 0;
  std::string timezone;
  int year = 0;
  int format = -1;  ///< of the file in progress; -1 = not known yet
  bool live = false;
  bool push = false;                  ///< blocks are records of the inbox: no positions
  std::shared_ptr<Group> group;       ///< nullptr for live lanes
  std::int64_t first_us = INT64_MIN;  ///< event time of the first record to come, as far as known
  // What breaks ties between equal times: the same after a restart.
  std::int64_t begins_us = INT64_MIN;  ///< event time of the file's first record, read or not
  std::uint64_t rank = 0;              ///< by content
  std::atomic<bool> active{true};
  std::atomic<std::uint64_t> blocks_total{UINT64_MAX};  ///< set when the last block is known
  std::atomic<std::uint32_t> in_flight{0};
  std::string path;  ///< of a live lane
  /// Live: what was read since a line could last be parsed.
  std::atomic<std::uint64_t> silent_bytes{0};
  static constexpr std::int64_t kNotKnown = INT64_MIN;
  /// What the times of the last batch that was taken whole lacked to be UTC: a good guess for the
  /// next ones.
  std::atomic<std::int64_t> add_us{kNotKnown};
};

/// A file as a lane meets it.
struct FileInfo {
  std::string source;
  std::string path;
  TimeResolver::State time;
  bool live = false;
};

/// Where feeders leave what apply will ask for when the first block of a file arrives.
class Registry {
 public:
  /// Publishes a lane whose fields are set; gives it its number.
  void add(const std::shared_ptr<LaneInfo>& lane) {
    const std::lock_guard lock(mutex_);
    lane->id = static_cast<std::uint32_t>(lanes_.size());
    lanes_.push_back(lane);
  }
  [[nodiscard]] std::shared_ptr<LaneInfo> lane(std::uint32_t id) const {
    const std::lock_guard lock(mutex_);
    return id < lanes_.size() ? lanes_[id] : nullptr;
  }
  [[nodiscard]] std::size_t lanes() const {
    const std::lock_guard lock(mutex_);
    return lanes_.size();
  }
  void set_file(std::uint64_t file, FileInfo info) {
    const std::lock_guard lock(mutex_);
    files_[file] = std::move(info);
  }
  [[nodiscard]] FileInfo file(std::uint64_t file) const {
    const std::lock_guard lock(mutex_);
    const auto it = files_.find(file);
    return it == files_.end() ? FileInfo{} : it->second;
  }
  void forget_file(std::uint64_t file) {
    const std::lock_guard lock(mutex_);
    files_.erase(file);
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<LaneInfo>> lanes_;
  std::unordered_map<std::uint64_t, FileInfo> files_;
};

/// Apply's side of a lane.
struct Lane {
  std::shared_ptr<LaneInfo> info;
  std::uint64_t next_sequence = 0;
  std::map<std::uint64_t, std::unique_ptr<Batch>> pending;  ///< parsed out of order
  std::unique_ptr<Batch> head;                              ///< being applied
  /// What its times lack to be UTC; absent when they are.
  std::optional<std::int64_t> add_us;
  correlate::Cursor cursor;
  std::int64_t head_us = INT64_MIN;  ///< time of the next record, never going back
  TimeResolver resolver;
  ingest::Position position;  ///< of the file in progress
  bool position_dirty = false;

  /// Whose records of one time come first: stamps of a second tell little where one file goes on in
  /// the next, but the older file begins earlier.
  [[nodiscard]] bool precedes(const Lane& other) const {
    return std::tie(head_us, info->begins_us, info->rank) <
           std::tie(other.head_us, other.info->begins_us, other.info->rank);
  }
  [[nodiscard]] bool ended() const {
    return head == nullptr && next_sequence >= info->blocks_total.load(std::memory_order_acquire);
  }
};

}  // namespace bounced::pipeline
