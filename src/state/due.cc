#include "state/due.h"

#include <algorithm>
#include <tuple>

namespace bounced::state {
namespace {

/// Negative times do not occur: a block's end is after 1970 or there is none.
std::string key_of(const DueEntry& e) {
  std::string key;
  store::append_u64_be(key, static_cast<std::uint64_t>(e.time_us));
  store::append_id(key, e.id);
  store::append_u8(
      key, static_cast<std::uint8_t>(static_cast<unsigned>(e.kind) | (e.domain ? 0x80u : 0u)));
  return key;
}

bool read_key(std::string_view key, DueEntry& e) {
  if (key.size() != 25) return false;
  e.time_us = static_cast<std::int64_t>(store::read_u64_be(key.data()));
  e.id = store::read_id(key.data() + 8);
  const auto what = static_cast<std::uint8_t>(key[24]);
  e.domain = (what & 0x80) != 0;
  e.kind = static_cast<BlockKind>(what & 0x7f);
  return true;
}

}  // namespace

void Due::open(const store::Store* store) {
  store_ = store;
  horizon_ = store == nullptr ? INT64_MAX : 0;
}

void Due::add(const DueEntry& e, store::WriteSet& pending) {
  if (e.time_us < 0) return;
  pending.put(store::Family::due, key_of(e), {});
  gone_now_.erase(e);
  gone_flying_.erase(e);
  if (e.time_us < horizon_) {
    near_.insert(e);
  } else {
    far_now_.insert(e);
  }
  if (store_ == nullptr || near_.size() <= kNearMax) return;
  // Too many: the later half waits in the store, or on its way there.
  auto middle = std::next(near_.begin(), static_cast<std::ptrdiff_t>(kNearMax / 2));
  horizon_ = middle->time_us;
  middle = near_.lower_bound(DueEntry{horizon_, {}, false, BlockKind::none});
  far_now_.insert(middle, near_.end());
  near_.erase(middle, near_.end());
}

void Due::remove(const DueEntry& e, store::WriteSet& pending) {
  if (e.time_us < 0) return;
  pending.erase(store::Family::due, key_of(e));
  near_.erase(e);
  far_now_.erase(e);
  far_flying_.erase(e);
  if (store_ != nullptr) gone_now_.insert(e);
}

Result<void> Due::load_window() {
  std::string from;
  store::append_u64_be(from, static_cast<std::uint64_t>(horizon_));
  bool ok = true;
  std::int64_t next = INT64_MAX, last = 0;
  std::size_t n = 0;
  auto result = store_->scan(store::Family::due, {}, from, [&](auto key, auto) {
    DueEntry e;
    ok = read_key(key, e);
    if (!ok) return false;
    if (n >= kNearMax / 4 && e.time_us > next) return false;  // whole times only
    if (++n == kNearMax / 4) next = e.time_us;
    last = e.time_us;
    if (gone_now_.count(e) == 0 && gone_flying_.count(e) == 0) near_.insert(e);
    return true;
  });
  if (!result) return result;
  if (!ok) {
    return fail(ErrorCode::data, "due", store_->directory(), "malformed key",
                "restore the store from a backup");
  }
  horizon_ = n >= kNearMax / 4 ? next + 1 : INT64_MAX;
  if (horizon_ == INT64_MAX && n > 0) {
    // Everything was loaded; still leave the far future to the store.
    horizon_ = last + 1;  // also when all of it is gone again
  }
  for (auto* far : {&far_now_, &far_flying_}) {
    for (const DueEntry& e : *far) {
      if (e.time_us < horizon_) near_.insert(e);
    }
    // Those on their way stay noted: a later window must still see what no cut holds.
  }
  return {};
}

Result<bool> Due::next(std::int64_t watermark_us, DueEntry& out, store::WriteSet& pending) {
  while (true) {
    if (!near_.empty() && near_.begin()->time_us <= watermark_us) {
      out = *near_.begin();
      remove(out, pending);
      return true;
    }
    if (store_ == nullptr || horizon_ > watermark_us) return false;
    const std::int64_t before = horizon_;
    const auto loaded = load_window();
    if (!loaded) return tl::unexpected<Error>(loaded.error());
    if (horizon_ == before) return false;
  }
}

void Due::peek(std::int64_t watermark_us, std::size_t count, std::vector<DueEntry>& out) const {
  out.clear();
  for (auto it = near_.begin(); it != near_.end() && out.size() < count; ++it) {
    if (it->time_us > watermark_us) break;
    out.push_back(*it);
  }
}

void Due::in_flight() {
  far_flying_.merge(far_now_);
  far_now_.clear();
  gone_flying_.merge(gone_now_);
  gone_now_.clear();
}

void Due::committed() {
  far_flying_.clear();
  gone_flying_.clear();
}

}  // namespace bounced::state
