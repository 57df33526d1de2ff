// Memo: verdicts by a 128-bit hash of everything they depend on. Two ways, no chains.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "bounced/event.h"
#include "bounced/limits.h"
#include "bounced/verdict.h"

namespace bounced::classify {

/// Fixed memory: kMemoEntries x 48 bytes = 768 KiB a thread. The key is a hash under a secret of
/// this process, so nobody outside can make two texts meet. Thread safety: none; one per thread.
class Memo {
 public:
  Memo() : slots_(limits::kMemoEntries) {}

  /// nullptr when it is not known.
  const Verdict* find(const AddressId& key) {
    Slot* set = set_of(key);
    if (set[0].key == key) return &set[0].verdict;
    if (set[1].key == key) {
      std::swap(set[0], set[1]);  // the first way is the one used last
      return &set[0].verdict;
    }
    return nullptr;
  }
  void put(const AddressId& key, const Verdict& verdict) {
    Slot* set = set_of(key);
    set[1] = set[0];
    set[0] = {key, verdict};
  }

 private:
  /// An empty slot has key {0,0}; callers never ask for it (Classifier sets the lowest bit of hi).
  struct Slot {
    AddressId key;
    Verdict verdict;
  };
  static_assert(limits::kMemoEntries >= 2 &&
                    (limits::kMemoEntries & (limits::kMemoEntries - 1)) == 0,
                "sets are selected by mask");
  Slot* set_of(const AddressId& key) { return &slots_[key.lo & (limits::kMemoEntries - 2)]; }
  std::vector<Slot> slots_;
};

}  // namespace bounced::classify
