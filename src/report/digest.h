// digest: one hash over every logical record of a store.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bounced/result.h"
#include "store/names.h"
#include "store/store.h"

namespace bounced::report {

/// 128-bit sum of the records' hashes, so that no order matters: keys depend on the store's secret,
/// hence two stores hold the same records in different key orders.
struct Digest {
  std::uint64_t hi = 0, lo = 0;
  struct Part {
    std::string name;
    std::uint64_t records = 0;
    std::uint64_t hi = 0, lo = 0;
  };
  std::vector<Part> parts;
};

/// Records are decoded and hashed with names instead of numbers and clear addresses instead of
/// keys. In it: states, evidence, rates, open messages, dedupe keys, due entries. Not in it:
/// positions, source names, feed numbers, hit counters, caches.
Result<Digest> digest(const store::Store& store, const store::Names& names);

}  // namespace bounced::report
