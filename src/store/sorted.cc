#include "store/sorted.h"

#include <algorithm>
#include <cstring>

namespace bounced::store {
namespace {
/// At most so many buckets that their starts stay in the second-level cache.
constexpr unsigned kBucketBitsMax = 14;
/// A bucket takes about 4 to 8 entries, which an insertion sort puts in order.
constexpr unsigned kEntryBits = 3;
constexpr std::size_t kKeyAhead = 16;
/// Runs of equal prefixes up to this long compare whole keys instead of loading more prefixes.
constexpr std::ptrdiff_t kSmallRun = 8;
constexpr std::ptrdiff_t kInsertionMax = 20;
}  // namespace

std::uint64_t Sorted::prefix_at(const WriteSet::Entry& entry, std::size_t depth) const {
  if (entry.key_size <= depth) return 0;
  const char* p = entry.bytes + depth;
  const std::size_t left = entry.key_size - depth;
  std::uint64_t v = 0;
  if (left >= sizeof v) {
    std::memcpy(&v, p, sizeof v);
  } else {
    std::memcpy(&v, p, left);
  }
  return __builtin_bswap64(v);
}

void Sorted::assign(const WriteSet::Part& part) {
  part_ = &part;
  size_ = part.entries.size();
  if (room_ < size_) {
    items_.reset();
    unsorted_.reset();
    room_ = size_ + size_ / 4;
    items_.reset(new Item[room_]);  // not zeroed
    unsorted_.reset(new Item[room_]);
  }
  std::uint64_t differing = 0;
  std::uint64_t last = 0;
  ordered_ = true;
  for (std::size_t i = 0; i < size_; ++i) {
    // Another core wrote these bytes.
    if (i + kKeyAhead < size_) {
      prefetch(part.entries[i + kKeyAhead].bytes);
    }
    const std::uint64_t prefix = prefix_at(part.entries[i], 0);
    unsorted_[i] = {prefix, static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(prefix)};
    differing |= prefix ^ unsorted_[0].prefix;
    ordered_ = ordered_ && (i == 0 || prefix > last);
    last = prefix;
  }
  const unsigned size_bits = size_ == 0 ? 0 : 64 - static_cast<unsigned>(__builtin_clzll(size_));
  if (ordered_ || size_bits <= kEntryBits || differing == 0) {
    items_.swap(unsorted_);
    buckets_ = 1;
    starts_.assign({0, static_cast<std::uint32_t>(size_)});
    return;
  }
  scatter(std::min(size_bits - kEntryBits, kBucketBitsMax),
          static_cast<unsigned>(__builtin_clzll(differing)));
}

/// By `bits` bits of the prefix behind the first `skip`, which all entries share.
void Sorted::scatter(unsigned bits, unsigned skip) {
  const auto bucket_of = [=](const Item& item) {
    return static_cast<std::size_t>((item.prefix << skip) >> (64 - bits));
  };
  buckets_ = std::size_t{1} << bits;
  // Counted two places on, so that starts_[b + 1] is where the next of bucket b goes, and in the
  // end where b + 1 begins.
  starts_.assign(buckets_ + 2, 0);
  for (std::size_t i = 0; i < size_; ++i) ++starts_[bucket_of(unsorted_[i]) + 2];
  for (std::size_t b = 2; b < starts_.size(); ++b) starts_[b] += starts_[b - 1];
  for (std::size_t i = 0; i < size_; ++i) {
    const Item& item = unsorted_[i];
    items_[starts_[bucket_of(item) + 1]++] = item;
  }
}

std::vector<std::size_t> Sorted::split(std::size_t pieces) const {
  std::vector<std::size_t> cuts = {0};
  const std::size_t n = size_;
  const auto last = starts_.begin() + static_cast<std::ptrdiff_t>(buckets_) + 1;
  for (std::size_t piece = 1; piece < pieces; ++piece) {
    const auto at = std::lower_bound(starts_.begin(), last, n * piece / pieces);
    const auto bucket = static_cast<std::size_t>(at - starts_.begin());
    cuts.push_back(std::clamp(bucket, cuts.back(), buckets()));
  }
  cuts.push_back(buckets());
  return cuts;
}

void Sorted::sort_bucket(std::size_t bucket) {
  if (!ordered_) sort_items(&items_[starts_[bucket]], &items_[starts_[bucket + 1]], 0);
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
        const int order = part_->entries[a.index].key().compare(part_->entries[b.index].key());
        return order != 0 ? order < 0 : a.index < b.index;
      });
    }
    run = run_end;
  }
}

}  // namespace bounced::store
