// Blocking queue of pointers between stages: moodycamel's, with a close.
#pragma once

#include <concurrentqueue/blockingconcurrentqueue.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

namespace bounced {

/// Many producers, many consumers, FIFO per producer. Bounded from outside (by the block pool).
/// pop() spins briefly, then sleeps. Thread safety: all methods.
template <class T>
class BlockingQueue {
 public:
  void push(T value) {
    depth_.fetch_add(1, std::memory_order_relaxed);
    queue_.enqueue(std::optional<T>(std::move(value)));
  }
  /// nullopt: closed and empty (one close() releases one waiting consumer per call).
  std::optional<T> pop() {
    std::optional<T> value;
    queue_.wait_dequeue(value);
    if (!value.has_value()) {
      // Order holds per producer only: an end mark may overtake what others pushed before it.
      std::optional<T> more;
      if (queue_.try_dequeue(more)) {
        queue_.enqueue(std::optional<T>());
        if (!more.has_value()) return value;
        value = std::move(more);
      }
    }
    if (value.has_value()) depth_.fetch_sub(1, std::memory_order_relaxed);
    return value;
  }
  /// False on time-out; `out` stays empty when a close mark was taken.
  bool pop_for(std::optional<T>& out, std::int64_t timeout_us) {
    out.reset();
    const bool got = queue_.wait_dequeue_timed(out, std::chrono::microseconds(timeout_us));
    if (got && out.has_value()) depth_.fetch_sub(1, std::memory_order_relaxed);
    return got;
  }
  bool try_pop(T& out) {
    std::optional<T> value;
    if (!queue_.try_dequeue(value) || !value.has_value()) return false;
    depth_.fetch_sub(1, std::memory_order_relaxed);
    out = std::move(*value);
    return true;
  }
  /// Enqueues `consumers` end marks behind what is there.
  void close(std::size_t consumers = 1) {
    for (std::size_t i = 0; i < consumers; ++i) queue_.enqueue(std::optional<T>());
  }
  [[nodiscard]] std::size_t depth() const { return depth_.load(std::memory_order_relaxed); }

 private:
  moodycamel::BlockingConcurrentQueue<std::optional<T>> queue_;
  std::atomic<std::size_t> depth_{0};
};

}  // namespace bounced
