#include "state/scan.h"

#include <chrono>

namespace bounced::state {

Scan::~Scan() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  emptied_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Scan::start(const store::Store& store) {
  thread_ = std::thread([this, &store] { run(store); });
}

void Scan::run(const store::Store& store) {
  Chunk chunk;
  bool ok = true;
  auto result = store.scan(store::Family::address, {}, {}, [&](auto key, auto value) {
    ok = key.size() == 16 || (key.size() == 17 && key[16] == 'D');
    if (!ok) return false;
    chunk.items.push_back({store::read_id(key.data()), key.size() == 17,
                           static_cast<std::uint32_t>(chunk.bytes.size()),
                           static_cast<std::uint32_t>(value.size())});
    chunk.bytes.insert(chunk.bytes.end(), value.begin(), value.end());
    if (chunk.items.size() < kItems && chunk.bytes.size() < kBytes) return true;
    return hand_over(chunk);
  });
  if (result && !ok) {
    result = fail(ErrorCode::data, "scan", store.directory(), "malformed key in CF address",
                  "restore the store from a backup");
  }
  hand_over(chunk);
  const std::lock_guard lock(mutex_);
  result_ = std::move(result);
  finished_ = true;
  filled_.notify_all();
}

bool Scan::hand_over(Chunk& chunk) {
  std::unique_lock lock(mutex_);
  emptied_.wait(lock, [this] { return stop_ || chunks_.size() < kChunks; });
  if (stop_) return false;
  chunks_.push_back(std::move(chunk));
  chunk = {};
  filled_.notify_one();
  return true;
}

Result<bool> Scan::take(Chunk& out, std::int64_t wait_us) {
  std::unique_lock lock(mutex_);
  if (wait_us > 0) {
    filled_.wait_for(lock, std::chrono::microseconds(wait_us),
                     [this] { return finished_ || !chunks_.empty(); });
  }
  if (!chunks_.empty()) {
    out = std::move(chunks_.front());
    chunks_.pop_front();
    emptied_.notify_one();
    return true;
  }
  if (finished_ && !result_) return tl::unexpected<Error>(result_.error());
  return false;
}

bool Scan::done() {
  const std::lock_guard lock(mutex_);
  return finished_ && chunks_.empty() && result_.has_value();
}

}  // namespace bounced::state
