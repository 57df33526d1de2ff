#include "rates/rates.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "base/address.h"
#include "base/prefetch.h"
#include "base/text.h"
#include "base/time.h"
#include "rates/fields.h"
#include "rates/hour.h"
#include "rates/text_key.h"

namespace bounced::rates {
namespace {

using store::Dictionary;
using store::Family;

constexpr std::size_t kHoursKept = 2;
/// So many come and go with a usual cut, which need not leave earlier for them.
constexpr std::size_t kHoursUsual = 16;
/// How far ahead of its turn what an event names is fetched.
constexpr std::size_t kPrefetchAhead = 8;
/// Links from hashes to Names ids, kept over all hours; forgotten when there are more.
constexpr std::size_t kLinksMax = std::size_t{1} << 20;

/// Slots of the first streams or tenants.
using NumberCache = std::array<std::uint32_t, 64>;

/// Deliveries of one stream, tenant and campaign in a row: counted here, added when it ends. It
/// ends before anybody else touches these cells, so that they change in the order of the events.
struct Run {
  static constexpr std::uint64_t kClosed = ~std::uint64_t{0};
  std::uint32_t delivered = 0;
  /// run_of() those whose slots these are.
  std::uint64_t of = kClosed;
  std::uint32_t stream_slot = 0, tenant_slot = 0, campaign_slot = 0;
};

std::uint64_t run_of(const Event& event, std::uint32_t campaign_slot) {
  return std::uint64_t{campaign_slot} << 32 | std::uint32_t{event.stream} << 16 | event.tenant;
}

/// What a name of Batch::domains or hosts is in this hour: found at its first event there.
struct Listed {
  std::uint32_t stamp = 0;  ///< Impl::stamp, else out of date
  std::uint32_t slot = 0;
  std::uint32_t delivered = 0;  ///< added to its cell by add_deliveries()
};

/// A sender domain that delivers, by its key: most events of a batch come from few of them.
struct Sender {
  std::uint64_t key = 0;  ///< 0 = none
  std::uint32_t slot = 0;
  std::uint32_t delivered = 0;  ///< added to its cell by add_deliveries()
};
/// Each at the place that its key leads to, first come first served; 16 KiB.
using Senders = std::array<Sender, 1024>;

/// Which fields an event adds one to; `first` null = none.
struct Effect {
  Field first = nullptr;
  Field second = nullptr;
  bool back = false;  ///< takes back what was counted
  void add_to(Cell& cell) const {
    for (const Field field : {first, second}) {
      if (field == nullptr) continue;
      if (!back) {
        ++(cell.*field);
      } else if (cell.*field != 0) {  // nothing of that hour may be left
        --(cell.*field);
      }
    }
  }
};

Effect effect_of_failure(BounceClass bounce_class, bool expired) {
  Effect effect{&Cell::soft, nullptr};
  if (bounce_class == BounceClass::hard) effect.first = &Cell::hard;
  if (bounce_class == BounceClass::blocked) effect.first = &Cell::blocked;
  if (expired) effect.second = &Cell::expired;
  return effect;
}

Effect effect_of(const Batch& batch, const Event& event) {
  switch (event.kind) {
    case EventKind::delivered:
      return {&Cell::delivered, nullptr};
    case EventKind::bounced:
    case EventKind::expired: {
      const Verdict* verdict = batch.verdict(event);
      return effect_of_failure(verdict != nullptr ? verdict->bounce_class : BounceClass::soft,
                               event.kind == EventKind::expired);
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
  std::vector<std::unique_ptr<Hour>> hours;  ///< few, unless times jump
  std::unordered_map<std::uint32_t, Hour*> by_number;
  std::size_t left_bytes = 0;  ///< sum of Hour::left_bytes
  std::uint64_t touches = 0;
  Cell total;

  /// AddressId::lo of a domain -> Names id; hint: its slot in the hour that asked last.
  IndexMap domain_names;
  IndexMap host_names;  ///< the same by the TextKey of a host

  // What the last events used; valid for `hour`, its time range and the caches below.
  Hour* hour = nullptr;
  std::int64_t hour_begin_us = 0;
  std::uint64_t hour_us = 0;  ///< its length; 0 while there is none
  NumberCache streams, tenants;
  std::uint32_t total_slot = 0, no_campaign_slot = 0, no_sender_slot = 0;
  Run run;
  std::uint32_t stamp = 0;                  ///< grows with each call and each change of the hour
  std::vector<Listed> domains, hosts;       ///< of the batch
  std::vector<std::uint32_t> delivered_to;  ///< `domains` with deliveries yet to be added
  Senders senders;
  std::vector<std::uint32_t> sent_by;        ///< `senders` that have a key
  std::vector<const IndexMap::Slot*> links;  ///< scratch: of the batch's domains; null = none
  const TextKey text_key;
  std::string scratch;

  Result<void> select_hour(std::int64_t time_us);
  void leave_hour();
  Result<void> load(Hour& into) const;
  void begin_batch(const Batch& batch, std::size_t events);
  void new_stamp();
  [[nodiscard]] bool in_hour(const Event& event) const {
    return static_cast<std::uint64_t>(event.time_us) - static_cast<std::uint64_t>(hour_begin_us) <
           hour_us;
  }
  void prefetch_for(const Batch& batch, const Event& event) const;
  void prefetch_cells(const Event& event) const;
  void count_delivery(const Batch& batch, const Event& event);
  void count(const Batch& batch, const Event& event, const Effect& effect, Cause cause);
  void count_failure(const Batch& batch, const Event& event, const Effect& effect, Cause cause,
                     std::uint32_t domain_slot);
  Result<void> revise(const Batch& batch, const Event& event, const Revision& other);
  void find_run(const Batch& batch, const Event& event);
  void begin_run(const Event& event, std::uint32_t campaign_slot);
  void end_run();
  void add_deliveries();
  void end_batch();
  Listed* listed_domain(const Batch& batch, const Event& event);
  std::uint32_t domain_slot(const Batch& batch, const Event& event);
  std::uint32_t find_domain_slot(const Batch& batch, const Event& event);
  static std::uint64_t sender_key(const Batch& batch, const Event& event);
  void count_sender(const Batch& batch, const Event& event);
  void begin_sender(const Batch& batch, const Event& event, std::uint64_t key);
  void add_sender(Sender& sender);
  std::uint32_t sender_slot(const Batch& batch, const Event& event, std::uint64_t key);
  std::uint32_t make_sender_slot(std::string_view raw, std::uint64_t key);
  std::uint32_t campaign_slot(const Batch& batch, const Event& event);
  void take_delivery_back(std::uint32_t domain, std::uint32_t sender);
  std::uint32_t host_slot(const Batch& batch, const Event& event);
  std::uint32_t find_host_slot(std::string_view host);
  /// Links to "other" are a convenience only: they must not grow without bound.
  void remember(IndexMap& map, std::uint64_t key, std::uint32_t slot) const {
    if (map.size() < 2 * std::size_t{options.keys_per_hour_max}) map.insert(key, slot);
  }
  std::uint32_t name_id(Dimension dimension, Dictionary dictionary, std::string_view text);
  std::uint32_t named_slot(Dimension dimension, Dictionary dictionary, std::string_view text) {
    return numbered_slot(dimension, name_id(dimension, dictionary, text));
  }
  static void remember_name(IndexMap& map, std::uint64_t key, std::uint32_t id) {
    if (id == 0) return;
    if (map.size() >= kLinksMax) map.clear();
    map.insert(key, id);
  }
  std::uint32_t numbered_slot(Dimension dimension, std::uint32_t key, std::uint32_t key2 = 0) {
    return hour->of(dimension).index(key, key2, options.keys_per_hour_max);
  }
  /// Of a name's id, where it was found the last time if that is of this hour.
  std::uint32_t linked_slot(Dimension dimension, IndexMap::Slot& link) {
    if (hour->of(dimension).is(link.hint, link.value)) return link.hint;
    return link.hint = numbered_slot(dimension, link.value);
  }
  std::uint32_t cached_slot(NumberCache& cache, Dimension dimension, std::uint16_t key) {
    if (key >= cache.size()) return numbered_slot(dimension, key);
    if (cache[key] == IndexMap::kNone) cache[key] = numbered_slot(dimension, key);
    return cache[key];
  }
  void add(Dimension dimension, std::uint32_t slot, const Effect& effect) {
    effect.add_to(hour->of(dimension).others(slot));
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
  leave_hour();
  const auto known = by_number.find(number);
  Hour* found = known != by_number.end() ? known->second : nullptr;
  if (found == nullptr) {
    auto fresh = std::make_unique<Hour>(number, hour);
    if (auto loaded = load(*fresh); !loaded) return loaded;
    found = fresh.get();
    by_number.emplace(number, found);
    hours.push_back(std::move(fresh));
  }
  found->touched = ++touches;
  hour = found;
  hour_begin_us = number == 0 ? INT64_MIN : std::int64_t{number} * kHourUs;
  const bool last = number >= INT64_MAX / kHourUs;
  const std::int64_t end_us = last ? INT64_MAX : (std::int64_t{number} + 1) * kHourUs;
  hour_us = static_cast<std::uint64_t>(end_us) - static_cast<std::uint64_t>(hour_begin_us);
  streams.fill(IndexMap::kNone);
  tenants.fill(IndexMap::kNone);
  total_slot = numbered_slot(Dimension::total, 0);
  no_campaign_slot = numbered_slot(Dimension::campaign, 0);
  no_sender_slot = numbered_slot(Dimension::sender, 0);
  new_stamp();
  return {};
}

void Rates::Impl::leave_hour() {
  if (hour == nullptr) return;
  left_bytes -= hour->left_bytes;
  hour->left_bytes = hour->bytes();
  left_bytes += hour->left_bytes;
}

void Rates::Impl::new_stamp() {
  if (++stamp != 0) return;
  for (Listed& one : domains) one.stamp = 0;
  for (Listed& one : hosts) one.stamp = 0;
  stamp = 1;
}

/// Finds the batch's domains that have a cell in this hour, when most of them will be asked for.
void Rates::Impl::begin_batch(const Batch& batch, std::size_t events) {
  new_stamp();
  const std::size_t n = batch.domains.size();
  if (domains.size() < n) domains.resize(n);
  if (hosts.size() < batch.hosts.size()) hosts.resize(batch.hosts.size());
  if (hour == nullptr || events < n) return;
  for (const BatchDomain& domain : batch.domains) {
    prefetch(domain_names.address_of(domain.id.lo));
  }
  const Cells& cells = hour->of(Dimension::domain);
  links.clear();
  for (const BatchDomain& domain : batch.domains) {
    links.push_back(domain_names.at(domain.id.lo));
    if (links.back() != nullptr) cells.prefetch(links.back()->hint);
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (links[i] == nullptr) continue;
    if (cells.is(links[i]->hint, links[i]->value)) {
      domains[i] = {stamp, links[i]->hint, 0};
    } else {
      cells.prefetch_find(links[i]->value);
    }
  }
}

// A name that would end up in "other" anyway is not worth a number: outsiders choose the texts.
std::uint32_t Rates::Impl::name_id(Dimension dimension, Dictionary dictionary,
                                   std::string_view text) {
  const bool full = hour->of(dimension).full(options.keys_per_hour_max);
  return full ? names.find(dictionary, text) : names.intern(dictionary, text);
}

inline std::uint32_t Rates::Impl::domain_slot(const Batch& batch, const Event& event) {
  const Listed* const listed = listed_domain(batch, event);
  return listed != nullptr ? listed->slot : find_domain_slot(batch, event);
}

/// Null when the event's domain is not listed.
inline Listed* Rates::Impl::listed_domain(const Batch& batch, const Event& event) {
  if (event.domain == 0) return nullptr;
  Listed& listed = domains[event.domain - 1u];
  if (listed.stamp != stamp) [[unlikely]] {
    const std::uint32_t slot = find_domain_slot(batch, event);
    prefetch(hour->of(Dimension::domain).address_of(slot));
    listed = {stamp, slot, 0};
  }
  return &listed;
}

std::uint32_t Rates::Impl::find_domain_slot(const Batch& batch, const Event& event) {
  const std::uint64_t key = event.domain_id.lo;
  if (IndexMap::Slot* const link = domain_names.at(key); link != nullptr) {
    return linked_slot(Dimension::domain, *link);
  }
  std::string_view domain = event.domain != 0 ? batch.view(batch.domains[event.domain - 1u].text)
                                              : raw_domain(batch.view(event.recipient));
  if (!plain_lower_case(domain) || (!domain.empty() && domain.back() == '.')) {
    scratch = normalise_domain(domain);
    domain = scratch;
  }
  const std::uint32_t id = name_id(Dimension::domain, Dictionary::domain, domain);
  remember_name(domain_names, key, id);
  return numbered_slot(Dimension::domain, id);
}

// VERP senders differ before the '@' only.
inline std::uint64_t Rates::Impl::sender_key(const Batch& batch, const Event& event) {
  if (event.sender_domain != 0) [[likely]]
    return event.sender_domain;
  return event.sender.empty() ? 0 : domain_key(batch.view(event.sender));
}

inline std::uint32_t Rates::Impl::sender_slot(const Batch& batch, const Event& event,
                                              std::uint64_t key) {
  if (key == 0) return no_sender_slot;
  const std::uint32_t found = hour->sender_by_domain.find(key);
  if (found != IndexMap::kNone) [[likely]]
    return found;
  return make_sender_slot(raw_domain(batch.view(event.sender)), key);
}

/// A delivery: counted where its sender is at hand.
inline void Rates::Impl::count_sender(const Batch& batch, const Event& event) {
  const std::uint64_t key = sender_key(batch, event);
  Sender& sender = senders[key % senders.size()];
  if (sender.key != key || key == 0) [[unlikely]]
    return begin_sender(batch, event, key);
  ++sender.delivered;
}

void Rates::Impl::begin_sender(const Batch& batch, const Event& event, std::uint64_t key) {
  const std::uint32_t slot = sender_slot(batch, event, key);
  Sender& sender = senders[key % senders.size()];
  if (key == 0 || sender.key != 0) return hour->of(Dimension::sender).add_delivered(slot, 1);
  sent_by.push_back(static_cast<std::uint32_t>(key % senders.size()));
  sender = {key, slot, 1};
}

void Rates::Impl::add_sender(Sender& sender) {
  hour->of(Dimension::sender).add_delivered(sender.slot, sender.delivered);
  sender = {};
}

std::uint32_t Rates::Impl::make_sender_slot(std::string_view raw, std::uint64_t key) {
  std::string_view domain = raw;
  if (!plain_lower_case(raw)) {
    scratch = ascii_lower(raw);
    domain = scratch;
  }
  const std::uint32_t slot = named_slot(Dimension::sender, Dictionary::domain, domain);
  remember(hour->sender_by_domain, key, slot);
  return slot;
}

std::uint32_t Rates::Impl::campaign_slot(const Batch& batch, const Event& event) {
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
  if (event.host == 0) return find_host_slot(batch.view(event.mta_host));
  Listed& listed = hosts[event.host - 1u];
  if (listed.stamp != stamp) listed = {stamp, find_host_slot(batch.view(event.mta_host)), 0};
  return listed.slot;
}

std::uint32_t Rates::Impl::find_host_slot(std::string_view host) {
  const std::uint64_t key = text_key(host);
  if (IndexMap::Slot* const link = host_names.at(key); link != nullptr) {
    return linked_slot(Dimension::mta, *link);
  }
  scratch = ascii_lower(host);
  const std::uint32_t id = name_id(Dimension::mta, Dictionary::domain, mta_suffix(scratch));
  remember_name(host_names, key, id);
  return numbered_slot(Dimension::mta, id);
}

void Rates::Impl::begin_run(const Event& event, std::uint32_t campaign_slot) {
  end_run();
  run.of = run_of(event, campaign_slot);
  run.stream_slot = cached_slot(streams, Dimension::stream, event.stream);
  run.tenant_slot = cached_slot(tenants, Dimension::tenant, event.tenant);
  run.campaign_slot = campaign_slot;
}

void Rates::Impl::add_deliveries() {
  if (hour == nullptr) return;
  Cells& cells = hour->of(Dimension::domain);
  for (const std::uint32_t number : delivered_to) {
    cells.add_delivered(domains[number].slot, domains[number].delivered);
    domains[number].delivered = 0;
  }
  delivered_to.clear();
  for (const std::uint32_t number : sent_by) add_sender(senders[number]);
  sent_by.clear();
}

void Rates::Impl::end_run() {
  const std::uint32_t delivered = run.delivered;
  if (delivered == 0) return;
  run.delivered = 0;
  total.delivered += delivered;
  hour->of(Dimension::total).add_delivered(total_slot, delivered);
  hour->of(Dimension::campaign).add_delivered(run.campaign_slot, delivered);
  hour->of(Dimension::stream).add_delivered(run.stream_slot, delivered);
  hour->of(Dimension::tenant).add_delivered(run.tenant_slot, delivered);
}

/// Adds what is still to be added, also before another hour.
void Rates::Impl::end_batch() {
  add_deliveries();
  end_run();
  run.of = Run::kClosed;
}

void Rates::Impl::count_failure(const Batch& batch, const Event& event, const Effect& effect,
                                Cause of, std::uint32_t domain) {
  add(Dimension::mta, host_slot(batch, event), effect);
  if (!event.final_failure()) return;
  const auto cause = static_cast<std::uint32_t>(of);
  add(Dimension::cause, numbered_slot(Dimension::cause, cause), effect);
  const std::uint32_t domain_key = hour->of(Dimension::domain).key(domain);
  add(Dimension::domain_cause, numbered_slot(Dimension::domain_cause, domain_key, cause), effect);
  const std::uint32_t campaign_key = hour->of(Dimension::campaign).key(run.campaign_slot);
  add(Dimension::campaign_cause, numbered_slot(Dimension::campaign_cause, campaign_key, cause),
      effect);
}

inline void Rates::Impl::find_run(const Batch& batch, const Event& event) {
  const std::uint32_t campaign =
      event.campaign.empty() ? no_campaign_slot : campaign_slot(batch, event);
  if (run.of != run_of(event, campaign)) begin_run(event, campaign);
}

// New names get their numbers in the order of the events, and of an event in this one: domain,
// sender, campaign, host. So they do not depend on batches.
[[gnu::always_inline]] inline void Rates::Impl::count_delivery(const Batch& batch,
                                                               const Event& event) {
  if (Listed* const listed = listed_domain(batch, event); listed != nullptr) [[likely]] {
    if (listed->delivered++ == 0) delivered_to.push_back(event.domain - 1u);
  } else {
    hour->of(Dimension::domain).add_delivered(find_domain_slot(batch, event), 1);
  }
  count_sender(batch, event);
  find_run(batch, event);
  ++run.delivered;
}

void Rates::Impl::count(const Batch& batch, const Event& event, const Effect& effect, Cause cause) {
  const std::uint32_t domain = domain_slot(batch, event);
  const std::uint32_t sender = sender_slot(batch, event, sender_key(batch, event));
  find_run(batch, event);
  effect.add_to(total);
  if (effect.back && effect.first == &Cell::delivered) return take_delivery_back(domain, sender);
  add(Dimension::domain, domain, effect);
  add(Dimension::sender, sender, effect);
  add(Dimension::total, total_slot, effect);
  add(Dimension::campaign, run.campaign_slot, effect);
  add(Dimension::stream, run.stream_slot, effect);
  add(Dimension::tenant, run.tenant_slot, effect);
  if (event.failing()) count_failure(batch, event, effect, cause, domain);
}

/// Of the run that was found for it.
void Rates::Impl::take_delivery_back(std::uint32_t domain, std::uint32_t sender) {
  hour->of(Dimension::domain).take_delivered_back(domain);
  hour->of(Dimension::sender).take_delivered_back(sender);
  hour->of(Dimension::total).take_delivered_back(total_slot);
  hour->of(Dimension::campaign).take_delivered_back(run.campaign_slot);
  hour->of(Dimension::stream).take_delivered_back(run.stream_slot);
  hour->of(Dimension::tenant).take_delivered_back(run.tenant_slot);
}

/// The message was delivered, and failed after all: one failure, in the hour of the delivery, and
/// with the sender that the delivery was counted for, whichever was told first.
Result<void> Rates::Impl::revise(const Batch& batch, const Event& event, const Revision& other) {
  end_batch();
  Event told = event;  // as the other one was counted
  told.time_us = other.time_us;
  told.sender = other.sender;
  told.sender_domain = 0;
  told.campaign = other.campaign;
  told.tenant = other.tenant;
  told.stream = other.stream;
  if (other.cause == Cause::none) {
    if (auto selected = select_hour(other.time_us); !selected) return selected;
    const Verdict* verdict = batch.verdict(event);
    count(batch, told, {&Cell::delivered, nullptr, true}, Cause::none);
    count(batch, told, effect_of(batch, event), verdict != nullptr ? verdict->cause : Cause::none);
  } else {
    told.kind = other.expired ? EventKind::expired : EventKind::bounced;
    told.mta_host = other.mta_host;
    told.host = 0;
    Effect effect = effect_of_failure(other.bounce_class, other.expired);
    Event failed = event;
    failed.kind = told.kind;
    failed.mta_host = told.mta_host;
    failed.host = 0;
    if (auto selected = select_hour(event.time_us); !selected) return selected;
    count(batch, failed, effect, other.cause);
    end_batch();
    if (auto selected = select_hour(other.time_us); !selected) return selected;
    effect.back = true;
    count(batch, told, effect, other.cause);
  }
  end_batch();
  return select_hour(event.time_us);
}

/// Failures count in whole cells, each somewhere else.
void Rates::Impl::prefetch_cells(const Event& event) const {
  if (hour == nullptr) return;
  if (event.domain != 0 && domains[event.domain - 1u].stamp == stamp) {
    hour->of(Dimension::domain).prefetch_others(domains[event.domain - 1u].slot);
  }
  const std::uint32_t sender = hour->sender_by_domain.find(event.sender_domain);
  if (sender != IndexMap::kNone) hour->of(Dimension::sender).prefetch_others(sender);
}

inline void Rates::Impl::prefetch_for(const Batch& batch, const Event& event) const {
  const bool usual = event.kind == EventKind::delivered && event.domain != 0 &&
                     event.sender_domain != 0 && event.campaign.empty();
  if (usual) [[likely]]
    return;
  if (event.domain == 0) prefetch(domain_names.address_of(event.domain_id.lo));
  if (event.failing()) prefetch_cells(event);
  if (!event.campaign.empty()) prefetch(batch.view(event.campaign).data());
  if (event.sender.empty() || event.sender_domain != 0) return;
  prefetch(batch.view(event.sender).data() + event.sender.size - 1);
}

Rates::Rates(store::Names& names, Options options)
    : impl_(std::make_unique<Impl>(names, options)) {}
Rates::~Rates() = default;

Result<void> Rates::open(const store::Store* store) {
  impl_->store = store;
  return {};
}

Result<void> Rates::apply(const Batch& batch, std::span<Event* const> events,
                          const std::vector<std::uint8_t>& counted) {
  begin(batch, events.size());
  if (auto done = part(batch, events, 0, events.size(), counted); !done) return done;
  end();
  return {};
}

void Rates::begin(const Batch& batch, std::size_t events) {
  impl_->begin_batch(batch, events);
}

Result<void> Rates::part(const Batch& batch, std::span<Event* const> events, std::size_t from,
                         std::size_t to, const std::vector<std::uint8_t>& counted) {
  Impl& impl = *impl_;
  const bool revised = !batch.revisions.empty();
  for (std::size_t i = from; i < to; ++i) {
    if (i + kPrefetchAhead < to) impl.prefetch_for(batch, *events[i + kPrefetchAhead]);
    if (!counted[i]) continue;
    const Event& event = *events[i];
    const bool delivered = event.kind == EventKind::delivered;
    if (revised) [[unlikely]] {
      if (const Revision* const other = batch.revision(i); other != nullptr) {
        if (auto done = impl.revise(batch, event, *other); !done) return done;
        continue;
      }
    }
    const Effect effect = delivered ? Effect() : effect_of(batch, event);
    if (!delivered && effect.first == nullptr) continue;
    if (!impl.in_hour(event)) [[unlikely]] {
      impl.end_batch();
      if (auto selected = impl.select_hour(event.time_us); !selected) return selected;
    }
    if (delivered) [[likely]] {
      impl.count_delivery(batch, event);
    } else {
      const Verdict* verdict = event.final_failure() ? batch.verdict(event) : nullptr;
      impl.count(batch, event, effect, verdict != nullptr ? verdict->cause : Cause::none);
    }
  }
  return {};
}

void Rates::end() {
  impl_->end_batch();
}

void Rates::append_to(store::WriteSet& set) {
  std::string key, value;
  for (const auto& hour : impl_->hours) {
    for (std::size_t d = 0; d < kDimensions; ++d) {
      const auto dimension = static_cast<Dimension>(d);
      const auto put = [&](std::uint32_t group, std::span<const GroupCell> cells) {
        key.clear();
        append_key(key, {dimension, hour->number, group * kKeysPerGroup, 0, {}});
        value.clear();
        encode_group(cells, value);
        set.put(Family::rates, key, value);
      };
      hour->dimensions[d].take_dirty(put);
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
  impl.by_number.clear();
  impl.left_bytes = 0;
  for (const auto& hour : impl.hours) {
    impl.by_number.emplace(hour->number, hour.get());
    impl.left_bytes += hour->left_bytes;
  }
}

std::size_t Rates::passing_bytes() const {
  return impl_->hours.size() <= kHoursUsual ? 0 : impl_->left_bytes;
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
