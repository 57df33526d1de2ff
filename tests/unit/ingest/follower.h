// A pipeline in miniature: follows with a Tail, "applies" blocks, and can crash between the two.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "ingest/ingest.h"
#include "support.h"

namespace bounced::ingest {

struct FixedClock final : Clock {
  std::int64_t now = 1'795'000'000'000'000;
  [[nodiscard]] std::int64_t now_us() const override { return now; }
};

inline TailOptions fast_options(std::vector<std::string> paths, bool inotify = true) {
  TailOptions options;
  options.name = "edge";
  options.paths = std::move(paths);
  options.poll_us = 1000;
  options.use_inotify = inotify;
  options.rotated_wait_us = 4000;
  return options;
}

class Follower {
 public:
  explicit Follower(TailOptions options) : options_(std::move(options)) { start(); }

  /// Takes blocks until `bytes` are there in all, then looks a little longer for too many.
  void follow(std::size_t bytes) {
    const std::int64_t deadline = monotonic_us() + 5'000'000;
    while (size() < bytes && monotonic_us() < deadline) take(2000);
    settle();
  }
  /// Takes blocks until nothing came for a while.
  void settle() {
    for (std::int64_t until = monotonic_us() + 12'000; monotonic_us() < until;) {
      if (take(2000)) until = monotonic_us() + 12'000;
    }
  }
  /// One block at most.
  bool take(std::int64_t timeout_us) {
    BlockPtr block = pool_.take();
    const auto status = tail_->next(*block, timeout_us);
    EXPECT_TRUE(status.has_value());
    if (!status || *status != ReadStatus::data) return false;
    EXPECT_EQ(block->sequence, sequences_[block->lane]++) << "gap in lane " << block->lane;
    Taken taken;
    taken.position = position_of(*block, options_.name);
    for (const auto& file : tail_->files()) {
      if (file.file == block->file) taken.position.path = file.path;
    }
    taken.position.updated_us = block->mtime_us;
    taken.lane = block->lane;
    taken.text.assign(block->data, block->size);
    taken.skipped = block->skipped_bytes;
    taken.path = path_of_lane(block->lane);
    waiting_.push_back(std::move(taken));
    return true;
  }
  /// All but the newest `keep` blocks are applied.
  void apply(std::size_t keep = 0) {
    while (waiting_.size() > keep) {
      Taken& taken = waiting_.front();
      applied_[taken.path] += taken.text;
      stored_[taken.position.file] = encode(taken.position);
      book_->update(taken.position);
      skipped_ += taken.skipped;
      waiting_.pop_front();
    }
  }
  /// What is not applied is lost, as by SIGKILL; start() goes on from what is stored.
  void crash() {
    tail_.reset();
    waiting_.clear();
  }
  void start() {
    sequences_.clear();
    book_ = std::make_unique<PositionBook>();
    std::vector<Position> positions;
    for (const auto& [file, value] : stored_) positions.push_back(*decode_position(file, value));
    book_->load(std::move(positions));
    tail_ = std::make_unique<Tail>(options_, *book_, clock_);
  }
  /// Everything applied or waiting of a path, in order.
  [[nodiscard]] std::string text(const std::string& path = {}) const {
    std::string all;
    for (const auto& [name, text] : applied_) {
      if (path.empty() || name == path) all += text;
    }
    for (const Taken& taken : waiting_) {
      if (path.empty() || taken.path == path) all += taken.text;
    }
    return all;
  }
  [[nodiscard]] std::size_t size() const { return text().size(); }
  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }
  [[nodiscard]] Tail& tail() { return *tail_; }
  [[nodiscard]] TailOptions& options() { return options_; }
  [[nodiscard]] std::uint64_t skipped() const { return skipped_; }
  [[nodiscard]] FixedClock& clock() { return clock_; }
  [[nodiscard]] std::map<std::uint64_t, std::string>& stored() { return stored_; }

 private:
  struct Taken {
    Position position;
    std::string text, path;
    std::uint64_t skipped = 0;
    std::uint32_t lane = 0;
  };
  std::string path_of_lane(std::uint32_t lane) {
    for (const auto& file : tail_->files()) {
      if (file.lane == lane) return file.path;
    }
    return {};
  }

  TailOptions options_;
  FixedClock clock_;
  BlockPool pool_{1, 64 << 10};
  std::unique_ptr<PositionBook> book_;
  std::unique_ptr<Tail> tail_;
  std::deque<Taken> waiting_;
  std::map<std::string, std::string> applied_;
  std::map<std::uint64_t, std::string> stored_;
  std::map<std::uint32_t, std::uint64_t> sequences_;
  std::uint64_t skipped_ = 0;
};

/// What logrotate does, on one log.
struct Rotator {
  std::string path;
  int kept = 0;

  void shift(bool compress) {
    for (int n = kept; n >= 1; --n) {
      const std::string from = path + "." + std::to_string(n),
                        to = path + "." + std::to_string(n + 1);
      if (fs::exists(from + ".gz")) fs::rename(from + ".gz", to + ".gz");
      if (!fs::exists(from)) continue;
      fs::rename(from, to);
      if (compress) zip(to);
    }
    ++kept;
  }
  static void zip(const std::string& file) {
    const auto changed = fs::last_write_time(file);
    write_file(file + ".gz", compressed(read_whole(file), ".gz"));
    fs::last_write_time(file + ".gz", changed);
    fs::remove(file);
  }
  void rename(bool compress = false, bool create = true) {
    shift(compress);
    fs::rename(path, path + ".1");
    if (create) write_file(path, "");
  }
  void copy_truncate(bool compress = false) {
    shift(compress);
    fs::copy_file(path, path + ".1");
    fs::resize_file(path, 0);
  }
};

}  // namespace bounced::ingest
