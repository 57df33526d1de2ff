// Scan: reads CF address once, in key order, on a thread of its own, and hands over chunks.
//
// Thread safety: start() and take() from the apply thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "bounced/event.h"
#include "bounced/result.h"
#include "store/store.h"

namespace bounced::state {

class Scan {
 public:
  struct Item {
    AddressId id;
    bool domain = false;
    std::uint32_t offset = 0, size = 0;
  };
  struct Chunk {
    std::vector<char> bytes;
    std::vector<Item> items;
  };
  ~Scan();
  void start(const store::Store& store);
  /// False when nothing is ready within `wait_us`. An error of the scan stays.
  Result<bool> take(Chunk& out, std::int64_t wait_us);
  /// Everything was handed over.
  [[nodiscard]] bool done();

 private:
  static constexpr std::size_t kItems = 4096, kBytes = std::size_t{1} << 20, kChunks = 8;
  void run(const store::Store& store);
  bool hand_over(Chunk& chunk);

  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable filled_, emptied_;
  std::deque<Chunk> chunks_;
  Result<void> result_;
  bool finished_ = false, stop_ = false;
};

}  // namespace bounced::state
