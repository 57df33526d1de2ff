#include "rates/rates.h"

#include <algorithm>
#include <array>

#include "base/address.h"
#include "base/prefetch.h"
#include "base/text.h"
#include "rates/fields.h"
#include "rates/hour.h"
#include "rates/text_key.h"

namespace bounced::rates {
namespace {

using store::Dictionary;
using store::Family;

constexpr std::int64_t kHourUs = std::int64_t{3600} * 1'000'000;
constexpr std::size_t kHoursKept = 2;
constexpr std::size_t kPrefetchAhead = 8;
/// Events looked up before they are counted, so that their cells arrive meanwhile.
constexpr std::size_t kLookAhead = 64;

/// Slots of the first streams or tenants.
using NumberCache = std::array<std::uint32_t, 64>;

/// Deliveries of one stream, tenant and campaign in a row: counted here, added when it ends. It
/// ends before anybody else touches these cells, so that they change in the order of the events.
struct Run {
  std::uint64_t delivered = 0;
  bool open = false;  ///< the slots are those of stream and tenant
  std::uint16_t stream = 0, tenant = 0;
  std::uint32_t stream_slot = 0, tenant_slot = 0, campaign_slot = 0;
};

/// Slots found ahead; IndexMap::kNone = to be made when its turn comes.
struct Found {
  std::uint32_t domain = IndexMap::kNone, sender = IndexMap::kNone;
};

/// Which fields an event adds one to; `first` null = none.
struct Effect {
  Field first = nullptr;
  Field second = nullptr;
  void add_to(Cell& cell) const {
    ++(cell.*first);
    if (second != nullptr) ++(cell.*second);
  }
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
  NumberCache streams, tenants;
  std::uint32_t total_slot = 0, no_campaign_slot = 0, no_sender_slot = 0;
  Run run;
  const TextKey text_key;
  std::string scratch;

  Result<void> select_hour(std::int64_t time_us);
  Result<void> load(Hour& into) const;
  std::size_t look_up(const Batch& batch, std::span<Event* const> events,
                      std::array<Found, kLookAhead>& found) const;
  void complete(const Batch& batch, const Event& event, Found& found);
  void count(const Batch& batch, const Event& event, const Effect& effect, Found found);
  void count_failure(const Batch& batch, const Event& event, const Effect& effect,
                     std::uint32_t domain_slot);
  void begin_run(const Event& event, std::uint32_t campaign_slot);
  void end_run();
  [[nodiscard]] bool in_hour(const Event& event) const {
    return hour != nullptr && event.time_us >= hour_begin_us && event.time_us < hour_end_us;
  }
  std::uint32_t make_domain_slot(const Batch& batch, const Event& event);
  std::uint32_t make_sender_slot(const Batch& batch, const Event& event);
  std::uint32_t make_campaign_slot(const Batch& batch, const Event& event);
  std::uint32_t host_slot(const Batch& batch, const Event& event);
  /// Links to "other" are a convenience only: they must not grow without bound.
  void remember(IndexMap& map, std::uint64_t key, std::uint32_t slot) const {
    if (map.size() < 2 * std::size_t{options.keys_per_hour_max}) map.insert(key, slot);
  }
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
    effect.add_to(hour->of(dimension).touch(slot));
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
  const bool full = hour->of(dimension).full(options.keys_per_hour_max);
  const std::uint32_t id = full ? names.find(dictionary, text) : names.intern(dictionary, text);
  return numbered_slot(dimension, id);
}

std::uint32_t Rates::Impl::make_domain_slot(const Batch& batch, const Event& event) {
  const std::uint32_t found = hour->domain_by_id.find(event.domain_id.lo);
  if (found != IndexMap::kNone) return found;
  std::string_view domain = domain_of(batch.view(event.recipient));
  if (!plain_lower_case(domain) || (!domain.empty() && domain.back() == '.')) {
    scratch = normalise_domain(domain);
    domain = scratch;
  }
  const std::uint32_t slot = named_slot(Dimension::domain, Dictionary::domain, domain);
  remember(hour->domain_by_id, event.domain_id.lo, slot);
  return slot;
}

std::uint32_t Rates::Impl::make_sender_slot(const Batch& batch, const Event& event) {
  const std::string_view raw = domain_of(batch.view(event.sender));
  if (raw.empty()) return no_sender_slot;
  const std::uint64_t key = text_key(raw);
  const std::uint32_t found = hour->sender_by_text.find(key);
  if (found != IndexMap::kNone) return found;
  std::string_view domain = raw;
  if (!plain_lower_case(raw)) {
    scratch = ascii_lower(raw);
    domain = scratch;
  }
  const std::uint32_t slot = named_slot(Dimension::sender, Dictionary::domain, domain);
  remember(hour->sender_by_text, key, slot);
  return slot;
}

std::uint32_t Rates::Impl::make_campaign_slot(const Batch& batch, const Event& event) {
  const std::string_view text = batch.view(event.campaign);
  const std::uint64_t key = text_key(text);
  const std::uint32_t found = hour->campaign_by_text.find(key);
  if (found != IndexMap::kNone) return found;
  const std::uint32_t slot = named_slot(Dimension::campaign, Dictionary::campaign, text);
  remember(hour->campaign_by_text, key, slot);
  return slot;
}

std::uint32_t Rates::Impl::host_slot(const Batch& batch, const Event& event) {
  if (event.mta_host.empty()) return numbered_slot(Dimension::mta, 0);
  const std::string_view host = batch.view(event.mta_host);
  const std::uint64_t key = text_key(host);
  const std::uint32_t found = hour->host_by_text.find(key);
  if (found != IndexMap::kNone) return found;
  scratch = ascii_lower(host);
  const std::uint32_t slot = named_slot(Dimension::mta, Dictionary::domain, mta_suffix(scratch));
  remember(hour->host_by_text, key, slot);
  return slot;
}

void Rates::Impl::begin_run(const Event& event, std::uint32_t campaign_slot) {
  end_run();
  run.open = true;
  run.stream = event.stream;
  run.tenant = event.tenant;
  run.stream_slot = cached_slot(streams, Dimension::stream, event.stream);
  run.tenant_slot = cached_slot(tenants, Dimension::tenant, event.tenant);
  run.campaign_slot = campaign_slot;
}

void Rates::Impl::end_run() {
  const std::uint64_t delivered = run.delivered;
  if (delivered == 0) return;
  run.delivered = 0;
  total.delivered += delivered;
  hour->of(Dimension::total).touch(total_slot).delivered += delivered;
  hour->of(Dimension::campaign).touch(run.campaign_slot).delivered += delivered;
  hour->of(Dimension::stream).touch(run.stream_slot).delivered += delivered;
  hour->of(Dimension::tenant).touch(run.tenant_slot).delivered += delivered;
}

void Rates::Impl::count_failure(const Batch& batch, const Event& event, const Effect& effect,
                                std::uint32_t domain) {
  add(Dimension::mta, host_slot(batch, event), effect);
  if (!event.final_failure()) return;
  const Verdict* verdict = batch.verdict(event);
  const std::uint32_t cause = verdict == nullptr ? 0 : static_cast<std::uint32_t>(verdict->cause);
  add(Dimension::cause, numbered_slot(Dimension::cause, cause), effect);
  const std::uint32_t domain_key = hour->of(Dimension::domain).key(domain);
  add(Dimension::domain_cause, numbered_slot(Dimension::domain_cause, domain_key, cause), effect);
  const std::uint32_t campaign_key = hour->of(Dimension::campaign).key(run.campaign_slot);
  add(Dimension::campaign_cause, numbered_slot(Dimension::campaign_cause, campaign_key, cause),
      effect);
}

// New names get their numbers here, in the order of the events, whatever was looked up before.
inline void Rates::Impl::complete(const Batch& batch, const Event& event, Found& found) {
  if (found.domain == IndexMap::kNone) [[unlikely]]
    found.domain = make_domain_slot(batch, event);
  if (found.sender == IndexMap::kNone) [[unlikely]]
    found.sender = make_sender_slot(batch, event);
  const std::uint32_t campaign =
      event.campaign.empty() ? no_campaign_slot : make_campaign_slot(batch, event);
  if (!run.open || run.stream != event.stream || run.tenant != event.tenant ||
      run.campaign_slot != campaign) {
    begin_run(event, campaign);
  }
}

void Rates::Impl::count(const Batch& batch, const Event& event, const Effect& effect, Found found) {
  complete(batch, event, found);
  effect.add_to(total);
  add(Dimension::domain, found.domain, effect);
  add(Dimension::sender, found.sender, effect);
  add(Dimension::total, total_slot, effect);
  add(Dimension::campaign, run.campaign_slot, effect);
  add(Dimension::stream, run.stream_slot, effect);
  add(Dimension::tenant, run.tenant_slot, effect);
  if (event.failing()) count_failure(batch, event, effect, found.domain);
}

/// Finds what is known of the next events of this hour and sends for their cells; changes nothing.
/// Returns how many it looked at.
std::size_t Rates::Impl::look_up(const Batch& batch, std::span<Event* const> events,
                                 std::array<Found, kLookAhead>& found) const {
  const std::size_t size = std::min(events.size(), kLookAhead);
  const Cells& domains = hour->of(Dimension::domain);
  const Cells& senders = hour->of(Dimension::sender);
  for (std::size_t i = 0; i < size; ++i) {
    if (i + kPrefetchAhead < events.size()) {
      const Event& ahead = *events[i + kPrefetchAhead];
      bounced::prefetch(hour->domain_by_id.address_of(ahead.domain_id.lo));
      if (!ahead.sender.empty()) {
        bounced::prefetch(batch.view(ahead.sender).data() + ahead.sender.size - 1);
      }
    }
    const Event& event = *events[i];
    // The first is of this hour, even where its time is beyond what hours can say.
    if (i != 0 && !in_hour(event)) return i;
    Found& slots = found[i];
    slots.domain = hour->domain_by_id.find(event.domain_id.lo);
    if (slots.domain != IndexMap::kNone) prefetch(domains.address_of(slots.domain));
    // VERP senders differ before the '@' only.
    const std::string_view domain =
        event.sender.empty() ? std::string_view{} : domain_of(batch.view(event.sender));
    slots.sender = domain.empty() ? no_sender_slot : hour->sender_by_text.find(text_key(domain));
    if (slots.sender != IndexMap::kNone) prefetch(senders.address_of(slots.sender));
  }
  return size;
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
  std::array<Found, kLookAhead> found;
  for (std::size_t i = 0; i < events.size();) {
    const Event& first = *events[i];
    if (!impl.in_hour(first)) {
      if (!counted[i] || effect_of(batch, first).first == nullptr) {
        ++i;
        continue;
      }
      impl.end_run();
      impl.run.open = false;
      if (auto selected = impl.select_hour(first.time_us); !selected) return selected;
    }
    const std::size_t size = impl.look_up(batch, events.subspan(i), found);
    Cells& domains = impl.hour->of(Dimension::domain);
    Cells& senders = impl.hour->of(Dimension::sender);
    for (std::size_t n = 0; n < size; ++n, ++i) {
      if (!counted[i]) continue;
      const Event& event = *events[i];
      if (event.kind == EventKind::delivered) [[likely]] {
        impl.complete(batch, event, found[n]);
        ++impl.run.delivered;
        ++domains.touch(found[n].domain).delivered;
        ++senders.touch(found[n].sender).delivered;
        continue;
      }
      const Effect effect = effect_of(batch, event);
      if (effect.first != nullptr) impl.count(batch, event, effect, found[n]);
    }
  }
  impl.end_run();
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
