// Due: what will happen by time alone (a block's end), in time order.
//
// CF due holds every entry; RAM holds those before `horizon_`, at most kNearMax, and those beyond
// it that no returned cut holds yet. Thread safety: none; the apply thread's.
#pragma once

#include <absl/container/btree_set.h>
#include <absl/container/flat_hash_set.h>

#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "bounced/event.h"
#include "bounced/policy.h"
#include "bounced/result.h"
#include "store/store.h"
#include "store/write_set.h"

namespace bounced::state {

struct DueEntry {
  std::int64_t time_us = 0;
  AddressId id;
  bool domain = false;
  BlockKind kind = BlockKind::none;
  friend bool operator<(const DueEntry& a, const DueEntry& b) {
    return std::tie(a.time_us, a.id.hi, a.id.lo, a.domain, a.kind) <
           std::tie(b.time_us, b.id.hi, b.id.lo, b.domain, b.kind);
  }
  friend bool operator==(const DueEntry& a, const DueEntry& b) {
    return a.time_us == b.time_us && a.id == b.id && a.domain == b.domain && a.kind == b.kind;
  }
  template <class H>
  friend H AbslHashValue(H h, const DueEntry& e) {
    return H::combine(std::move(h), e.id.lo, e.time_us, e.kind);
  }
};

class Due {
 public:
  static constexpr std::size_t kNearMax = std::size_t{1} << 17;

  /// nullptr: everything stays in RAM.
  void open(const store::Store* store);
  void add(const DueEntry& entry, store::WriteSet& pending);
  void remove(const DueEntry& entry, store::WriteSet& pending);
  /// Takes the earliest entry <= watermark; false when there is none.
  Result<bool> next(std::int64_t watermark_us, DueEntry& out, store::WriteSet& pending);
  /// The entries that next() will most likely take, in its order; at most `count`, fewer when they
  /// are not in RAM yet.
  void peek(std::int64_t watermark_us, std::size_t count, std::vector<DueEntry>& out) const;
  void in_flight();  ///< what add() and remove() put into `pending` is on its way
  void committed();

 private:
  /// Most entries end months from now: found by value only, and in no order.
  using Unordered = absl::flat_hash_set<DueEntry>;

  Result<void> load_window();

  const store::Store* store_ = nullptr;
  absl::btree_set<DueEntry> near_;
  std::int64_t horizon_ = INT64_MAX;  ///< entries at or beyond it are not all in near_
  Unordered far_now_, far_flying_;    // not yet in the store
  Unordered gone_now_, gone_flying_;  // erased, not yet from the store
};

}  // namespace bounced::state
