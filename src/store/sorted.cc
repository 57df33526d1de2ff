#include "store/sorted.h"

#include <algorithm>
#include <cstring>

namespace bounced::store {
namespace {
constexpr unsigned kBucketBits = 11;
constexpr std::size_t kBuckets = std::size_t{1} << kBucketBits;
/// Below this many entries one bucket sorts faster than a scatter.
constexpr std::size_t kScatterMin = 4096;
/// Runs of equal prefixes up to this long compare whole keys instead of loading more prefixes.
constexpr std::ptrdiff_t kSmallRun = 8;
constexpr std::ptrdiff_t kInsertionMax = 20;
}  // namespace

std::uint64_t Sorted::prefix_at(const WriteSet::Entry& entry, std::size_t depth) const {
  if (entry.key_size <= depth) return 0;
  const char* p = part_->arena.data() + entry.offset + depth;
  const std::size_t left = entry.key_size - depth;
  std::uint64_t v = 0;
  if (left >= sizeof v) {
    std::memcpy(&v, p, sizeof v);
  } else {
    std::memcpy(&v, p, left);
  }
  return __builtin_bswap64(v);
}

Sorted::Sorted(const WriteSet::Part& part) : part_(&part) {
  const std::size_t n = part.entries.size();
  std::vector<Item> unsorted(n);
  std::uint64_t differing = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t prefix = prefix_at(part.entries[i], 0);
    unsorted[i] = {prefix, static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(prefix)};
    differing |= prefix ^ unsorted[0].prefix;
  }
  if (n < kScatterMin || differing == 0) {
    items_ = std::move(unsorted);
    starts_ = {0, n};
    return;
  }
  const auto skip = static_cast<unsigned>(__builtin_clzll(differing));
  const auto bucket_of = [skip](const Item& item) {
    return static_cast<std::size_t>((item.prefix << skip) >> (64 - kBucketBits));
  };
  starts_.assign(kBuckets + 1, 0);
  for (const Item& item : unsorted) ++starts_[bucket_of(item) + 1];
  for (std::size_t b = 0; b < kBuckets; ++b) starts_[b + 1] += starts_[b];
  std::vector<std::size_t> next(starts_.begin(), starts_.end() - 1);
  items_.resize(n);
  for (const Item& item : unsorted) items_[next[bucket_of(item)]++] = item;
}

std::vector<std::size_t> Sorted::split(std::size_t pieces) const {
  std::vector<std::size_t> cuts = {0};
  const std::size_t n = items_.size();
  for (std::size_t piece = 1; piece < pieces; ++piece) {
    const auto at = std::lower_bound(starts_.begin(), starts_.end(), n * piece / pieces);
    const auto bucket = static_cast<std::size_t>(at - starts_.begin());
    cuts.push_back(std::clamp(bucket, cuts.back(), buckets()));
  }
  cuts.push_back(buckets());
  return cuts;
}

void Sorted::sort_bucket(std::size_t bucket) {
  sort_items(items_.data() + starts_[bucket], items_.data() + starts_[bucket + 1], 0);
}

void Sorted::sort_by_prefix(Item* begin, Item* end) {
  const auto less = [](const Item& a, const Item& b) {
    return a.prefix != b.prefix ? a.prefix < b.prefix : a.index < b.index;
  };
  if (end - begin > kInsertionMax) return std::sort(begin, end, less);
  // Most buckets hold a handful: std::sort's set-up costs more than the sorting.
  for (Item* i = begin + 1; i < end; ++i) {
    const Item item = *i;
    Item* hole = i;
    for (; hole != begin && less(item, hole[-1]); --hole) *hole = hole[-1];
    *hole = item;
  }
}

// Equal keys end up in order of entry: the last one wins in visit().
void Sorted::sort_items(Item* begin, Item* end, std::size_t depth) {
  if (begin == end) return;
  sort_by_prefix(begin, end);
  for (Item* run = begin; run != end;) {
    Item* run_end = run + 1;
    // Prefixes mostly differ: no look at the entry then, which is a cache miss.
    if (run_end == end || run_end->prefix != run->prefix) {
      run = run_end;
      continue;
    }
    bool longer = part_->entries[run->index].key_size > depth + 8;
    bool equal_sizes = true;
    while (run_end != end && run_end->prefix == run->prefix) {
      const std::uint16_t size = part_->entries[run_end->index].key_size;
      longer = longer || size > depth + 8;
      equal_sizes = equal_sizes && size == part_->entries[run->index].key_size;
      ++run_end;
    }
    const bool decided = !longer && equal_sizes;
    if (!decided && longer && run_end - run > kSmallRun) {
      for (Item* item = run; item != run_end; ++item) {
        item->prefix = prefix_at(part_->entries[item->index], depth + 8);
      }
      sort_items(run, run_end, depth + 8);
    } else if (!decided) {
      std::sort(run, run_end, [this](const Item& a, const Item& b) {
        const int order =
            part_->key(part_->entries[a.index]).compare(part_->key(part_->entries[b.index]));
        return order != 0 ? order < 0 : a.index < b.index;
      });
    }
    run = run_end;
  }
}

}  // namespace bounced::store
