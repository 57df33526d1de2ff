#include "rates/rates.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/address.h"
#include "base/text.h"
#include "rates/fields.h"
#include "rates/hour.h"

namespace bounced::rates {
namespace {

using store::Dictionary;
using store::Family;

constexpr std::int64_t kHourUs = std::int64_t{3600} * 1'000'000;
constexpr std::size_t kHoursKept = 2;
constexpr std::size_t kPrefetchAhead = 8;

/// Remembers the slots of texts seen lately, as they came, so that the usual event costs one
/// comparison and neither case folding nor a dictionary look-up. Direct-mapped.
class TextCache {
 public:
  /// Slot of `text`, or IndexMap::kNone.
  [[nodiscard]] std::uint32_t find(std::string_view text) const {
    const Line& line = lines_[place(text)];
    return line.size == text.size() && std::memcmp(line.text, text.data(), text.size()) == 0
               ? line.slot
               : IndexMap::kNone;
  }
  void put(std::string_view text, std::uint32_t slot) {
    if (text.empty() || text.size() > sizeof(Line::text)) return;
    Line& line = lines_[place(text)];
    line.slot = slot;
    line.size = static_cast<std::uint8_t>(text.size());
    std::memcpy(line.text, text.data(), text.size());
  }
  void clear() {
    for (Line& line : lines_) line.size = 0;
  }

 private:
  static constexpr unsigned kBits = 10;  // 64 KiB: senders number in the hundreds, not the tens
  struct alignas(64) Line {
    std::uint32_t slot = 0;
    std::uint8_t size = 0;
    char text[59];
  };
  static_assert(sizeof(Line) == 64);
  static std::size_t place(std::string_view text) {
    std::uint64_t head = 0, tail = 0;
    if (text.size() >= sizeof head) {
      std::memcpy(&head, text.data(), sizeof head);
      std::memcpy(&tail, text.data() + text.size() - sizeof tail, sizeof tail);
    } else if (!text.empty()) {
      std::memcpy(&head, text.data(), text.size());
    }
    const std::uint64_t mixed = (head ^ (tail << 29 | tail >> 35)) + text.size();
    return (mixed * 0x9e3779b97f4a7c15ULL) >> (64 - kBits);
  }
  std::array<Line, std::size_t{1} << kBits> lines_{};
};

/// Slots of the first streams or tenants.
using NumberCache = std::array<std::uint32_t, 64>;

/// Which fields an event adds one to; `first` null = none.
struct Effect {
  Field first = nullptr;
  Field second = nullptr;
};

Effect effect_of(const Batch& batch, const Event& event) {
  switch (event.kind) {
    case EventKind::delivered:
      return {&Cell::delivered, nullptr};
    case EventKind::bounced:
    case EventKind::expired: {
      const Verdict* verdict = batch.verdict(event);
      Effect effect{&Cell::soft, nullptr};
      if (verdict != nullptr && verdict->bounce_class == BounceClass::hard) {
        effect.first = &Cell::hard;
      } else if (verdict != nullptr && verdict->bounce_class == BounceClass::blocked) {
        effect.first = &Cell::blocked;
      }
      if (event.kind == EventKind::expired) effect.second = &Cell::expired;
      return effect;
    }
    case EventKind::deferred:
      return {&Cell::deferred, nullptr};
    case EventKind::complained:
      return {&Cell::complained, nullptr};
    case EventKind::unsubscribed:
      return {&Cell::unsubscribed, nullptr};
    case EventKind::suppressed:
      return {&Cell::suppressed, nullptr};
    default:
      return {};
  }
}

std::uint32_t hour_number(std::int64_t time_us) {
  const std::int64_t hour = time_us < 0 ? 0 : time_us / kHourUs;
  return static_cast<std::uint32_t>(std::min<std::int64_t>(hour, UINT32_MAX));
}

}  // namespace

struct Rates::Impl {
  Impl(store::Names& names_in, Options options_in) : names(names_in), options(options_in) {}

  store::Names& names;
  const Options options;
  const store::Store* store = nullptr;
  std::vector<std::unique_ptr<Hour>> hours;  ///< few; in order of creation
  std::uint64_t touches = 0;
  Cell total;

  // What the last events used; valid for `hour`, its time range and the caches below.
  Hour* hour = nullptr;
  std::int64_t hour_begin_us = 0, hour_end_us = 0;
  TextCache senders, campaigns, hosts;
  NumberCache streams, tenants;
  std::uint32_t total_slot = 0, no_campaign_slot = 0, no_sender_slot = 0;
  std::string scratch;

  Result<void> select_hour(std::int64_t time_us);
  Result<void> load(Hour& into) const;
  void count(const Batch& batch, const Event& event, const Effect& effect);
  void count_failure(const Batch& batch, const Event& event, const Effect& effect,
                     std::uint32_t domain_slot, std::uint32_t campaign_slot);
  std::uint32_t domain_slot(const Batch& batch, const Event& event);
  std::uint32_t sender_slot(const Batch& batch, const Event& event);
  std::uint32_t campaign_slot(const Batch& batch, const Event& event);
  std::uint32_t host_slot(const Batch& batch, const Event& event);
  std::uint32_t named_slot(Dimension dimension, Dictionary dictionary, std::string_view text);
  std::uint32_t numbered_slot(Dimension dimension, std::uint32_t key, std::uint32_t key2 = 0) {
    return hour->of(dimension).index(key, key2, options.keys_per_hour_max);
  }
  std::uint32_t cached_slot(NumberCache& cache, Dimension dimension, std::uint16_t key) {
    if (key >= cache.size()) return numbered_slot(dimension, key);
    if (cache[key] == IndexMap::kNone) cache[key] = numbered_slot(dimension, key);
    return cache[key];
  }
  void add(Dimension dimension, std::uint32_t slot, const Effect& effect) {
    Cell& cell = hour->of(dimension).touch(slot);
    ++(cell.*effect.first);
    if (effect.second != nullptr) ++(cell.*effect.second);
  }
};

// The total of an hour is stored with its first event, so its absence says that nothing of that
// hour is stored. Else all of it is read: which keys have their own cell must be known.
Result<void> Rates::Impl::load(Hour& into) const {
  if (store == nullptr) return {};
  std::string key;
  append_key(key, {Dimension::total, into.number, 0, 0, {}});
  auto known = store->get(Family::rates, key);
  if (!known) return tl::unexpected(known.error());
  if (!known->has_value()) return {};
  for (std::size_t d = 0; d < kDimensions; ++d) {
    const auto dimension = static_cast<Dimension>(d);
    Cells& cells = into.dimensions[d];
    const std::uint32_t next = into.number == UINT32_MAX ? UINT32_MAX : into.number + 1;
    auto done =
        read(*store, dimension, into.number, next, [&cells](const Row& row) { cells.load(row); });
    if (!done) return done;
  }
  return {};
}

Result<void> Rates::Impl::select_hour(std::int64_t time_us) {
  const std::uint32_t number = hour_number(time_us);
  Hour* found = nullptr;
  for (const auto& candidate : hours) {
    if (candidate->number == number) found = candidate.get();
  }
  if (found == nullptr) {
    auto fresh = std::make_unique<Hour>();
    fresh->number = number;
    if (auto loaded = load(*fresh); !loaded) return loaded;
    found = fresh.get();
    hours.push_back(std::move(fresh));
  }
  found->touched = ++touches;
  hour = found;
  hour_begin_us = number == 0 ? INT64_MIN : std::int64_t{number} * kHourUs;
  hour_end_us = number >= INT64_MAX / kHourUs ? INT64_MAX : (std::int64_t{number} + 1) * kHourUs;
  senders.clear();
  campaigns.clear();
  hosts.clear();
  streams.fill(IndexMap::kNone);
  tenants.fill(IndexMap::kNone);
  total_slot = numbered_slot(Dimension::total, 0);
  no_campaign_slot = numbered_slot(Dimension::campaign, 0);
  no_sender_slot = numbered_slot(Dimension::sender, 0);
  return {};
}

// A name that would end up in "other" anyway is not worth a number: outsiders choose the texts.
std::uint32_t Rates::Impl::named_slot(Dimension dimension, Dictionary dictionary,
                                      std::string_view text) {
  std::uint32_t id = names.find(dictionary, text);
  if (id == 0 && !hour->of(dimension).full(options.keys_per_hour_max)) {
    id = names.intern(dictionary, text);
  }
  return numbered_slot(dimension, id);
}

std::uint32_t Rates::Impl::domain_slot(const Batch& batch, const Event& event) {
  const std::uint32_t found = hour->domain_by_id.find(event.domain_id.lo);
  if (found != IndexMap::kNone) return found;
  const std::string domain = normalise_domain(raw_domain(batch.view(event.recipient)));
  const std::uint32_t slot = named_slot(Dimension::domain, Dictionary::domain, domain);
  // Links to "other" are a convenience only: they must not grow without bound.
  if (hour->domain_by_id.size() < 2 * std::size_t{options.keys_per_hour_max}) {
    hour->domain_by_id.insert(event.domain_id.lo, slot);
  }
  return slot;
}

std::uint32_t Rates::Impl::sender_slot(const Batch& batch, const Event& event) {
  // VERP senders differ before the '@' only.
  if (event.sender.empty()) return no_sender_slot;
  const std::string_view raw = raw_domain(batch.view(event.sender));
  if (raw.empty()) return no_sender_slot;
  const std::uint32_t found = senders.find(raw);
  if (found != IndexMap::kNone) return found;
  scratch = ascii_lower(raw);
  const std::uint32_t slot = named_slot(Dimension::sender, Dictionary::domain, scratch);
  senders.put(raw, slot);
  return slot;
}

std::uint32_t Rates::Impl::campaign_slot(const Batch& batch, const Event& event) {
  if (event.campaign.empty()) return no_campaign_slot;
  const std::string_view text = batch.view(event.campaign);
  const std::uint32_t found = campaigns.find(text);
  if (found != IndexMap::kNone) return found;
  const std::uint32_t slot = named_slot(Dimension::campaign, Dictionary::campaign, text);
  campaigns.put(text, slot);
  return slot;
}

std::uint32_t Rates::Impl::host_slot(const Batch& batch, const Event& event) {
  if (event.mta_host.empty()) return numbered_slot(Dimension::mta, 0);
  const std::string_view host = batch.view(event.mta_host);
  const std::uint32_t found = hosts.find(host);
  if (found != IndexMap::kNone) return found;
  scratch = ascii_lower(host);
  const std::uint32_t slot = named_slot(Dimension::mta, Dictionary::domain, mta_suffix(scratch));
  hosts.put(host, slot);
  return slot;
}

void Rates::Impl::count_failure(const Batch& batch, const Event& event, const Effect& effect,
                                std::uint32_t domain, std::uint32_t campaign) {
  add(Dimension::mta, host_slot(batch, event), effect);
  if (!event.final_failure()) return;
  const Verdict* verdict = batch.verdict(event);
  const std::uint32_t cause = verdict == nullptr ? 0 : static_cast<std::uint32_t>(verdict->cause);
  add(Dimension::cause, numbered_slot(Dimension::cause, cause), effect);
  const std::uint32_t domain_key = hour->of(Dimension::domain).key(domain);
  add(Dimension::domain_cause, numbered_slot(Dimension::domain_cause, domain_key, cause), effect);
  const std::uint32_t campaign_key = hour->of(Dimension::campaign).key(campaign);
  add(Dimension::campaign_cause, numbered_slot(Dimension::campaign_cause, campaign_key, cause),
      effect);
}

void Rates::Impl::count(const Batch& batch, const Event& event, const Effect& effect) {
  ++(total.*effect.first);
  if (effect.second != nullptr) ++(total.*effect.second);
  add(Dimension::total, total_slot, effect);
  const std::uint32_t domain = domain_slot(batch, event);
  add(Dimension::domain, domain, effect);
  add(Dimension::sender, sender_slot(batch, event), effect);
  const std::uint32_t campaign = campaign_slot(batch, event);
  add(Dimension::campaign, campaign, effect);
  add(Dimension::stream, cached_slot(streams, Dimension::stream, event.stream), effect);
  add(Dimension::tenant, cached_slot(tenants, Dimension::tenant, event.tenant), effect);
  if (event.failing()) count_failure(batch, event, effect, domain, campaign);
}

Rates::Rates(store::Names& names, Options options)
    : impl_(std::make_unique<Impl>(names, options)) {}
Rates::~Rates() = default;

Result<void> Rates::open(const store::Store* store) {
  impl_->store = store;
  return {};
}

Result<void> Rates::apply(const Batch& batch, std::span<Event* const> events,
                          const std::vector<bool>& counted) {
  Impl& impl = *impl_;
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (impl.hour != nullptr && i + kPrefetchAhead < events.size()) {
      const Event& ahead = *events[i + kPrefetchAhead];
      __builtin_prefetch(impl.hour->domain_by_id.address_of(ahead.domain_id.lo));
      const Event& next = *events[i + kPrefetchAhead / 2];
      const std::uint32_t slot = impl.hour->domain_by_id.find(next.domain_id.lo);
      if (slot != IndexMap::kNone) {
        __builtin_prefetch(impl.hour->of(Dimension::domain).address_of(slot), 1);
      }
      if (!ahead.sender.empty()) {
        __builtin_prefetch(batch.view(ahead.sender).data() + ahead.sender.size - 1);
      }
    }
    if (!counted[i]) continue;
    const Event& event = *events[i];
    const Effect effect = effect_of(batch, event);
    if (effect.first == nullptr) continue;
    if (impl.hour == nullptr || event.time_us < impl.hour_begin_us ||
        event.time_us >= impl.hour_end_us) {
      if (auto selected = impl.select_hour(event.time_us); !selected) return selected;
    }
    impl.count(batch, event, effect);
  }
  return {};
}

void Rates::append_to(store::WriteSet& set) {
  std::string key, value;
  for (const auto& hour : impl_->hours) {
    for (std::size_t d = 0; d < kDimensions; ++d) {
      hour->dimensions[d].take_dirty([&](const Cells::Slot& slot) {
        key.clear();
        append_key(key, {static_cast<Dimension>(d), hour->number, slot.key, slot.key2, {}});
        value.clear();
        encode(slot.cell, value);
        set.put(Family::rates, key, value);
      });
    }
  }
}

void Rates::committed() {
  Impl& impl = *impl_;
  if (impl.store == nullptr || impl.hours.size() <= kHoursKept) return;
  std::sort(impl.hours.begin(), impl.hours.end(),
            [](const auto& a, const auto& b) { return a->touched > b->touched; });
  // Changed again since append_to(): that write did not take it, so it stays.
  const auto old = std::remove_if(impl.hours.begin() + kHoursKept, impl.hours.end(),
                                  [](const auto& hour) { return hour->dirty() == 0; });
  impl.hours.erase(old, impl.hours.end());
}

std::size_t Rates::dirty_records() const {
  std::size_t n = 0;
  for (const auto& hour : impl_->hours) n += hour->dirty();
  return n;
}

const Cell& Rates::total() const {
  return impl_->total;
}

}  // namespace bounced::rates
