// States: events in order -> decisions.
#include <algorithm>
#include <cstring>
#include <tuple>

#include "base/text.h"
#include "state/failure_blocks.h"
#include "state/states_impl.h"

namespace bounced::state {
namespace {

constexpr std::int64_t kScanWaitUs = 100'000;

/// Without a fingerprint from correlate every record is a message of its own.
std::uint64_t message_of(const Event& e) {
  return e.message != 0 ? e.message : e.id;
}

bool zero(const AddressId& id) {
  return (id.hi | id.lo) == 0;
}

bool icontains(std::string_view text, std::string_view word) {
  const auto it = std::search(text.begin(), text.end(), word.begin(), word.end(),
                              [](char a, char b) { return ascii_lower(a) == b; });
  return it != text.end();
}

/// The owner's own word that the domain takes no mail (RFC 7505 section 4.2), however it is told.
bool is_null_mx(const Batch& batch, const Event& e) {
  if (e.smtp_code == 556 || e.enhanced == EnhancedCode{1, 10, 5}) return true;
  const std::string_view text = batch.view(e.diagnostic);
  return icontains(text, "nullmx") || icontains(text, "null mx");
}

/// Eight ASCII characters, upper case made lower.
std::uint64_t lower8(std::uint64_t word) {
  constexpr std::uint64_t kOnes = 0x0101010101010101ull;
  const std::uint64_t from_a = word + (0x80 - 'A') * kOnes;
  const std::uint64_t past_z = word + (0x80 - 'Z' - 1) * kOnes;
  return word + ((from_a & ~past_z & 0x80 * kOnes) >> 2);
}

/// normalise_domain() for short ASCII ones, into `room`; empty: it does not apply.
template <std::size_t kRoom>
std::string_view lower_domain(std::string_view raw, char (&room)[kRoom]) {
  while (!raw.empty() && raw.back() == '.') raw.remove_suffix(1);
  if (raw.size() > kRoom) return {};
  static_assert(kRoom % 8 == 0);
  std::uint64_t high = 0;
  for (std::size_t i = 0; i < raw.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, raw.data() + i, std::min<std::size_t>(8, raw.size() - i));
    high |= word;
    word = lower8(word);
    std::memcpy(room + i, &word, sizeof word);
  }
  const bool ascii = (high & 0x8080808080808080ull) == 0;
  return ascii ? std::string_view{room, raw.size()} : std::string_view{};
}

/// The event's recipient domain, normalised; the text is in `room` or in `made`.
template <std::size_t kRoom>
std::string_view domain_text(const Batch& batch, const Event& event, char (&room)[kRoom],
                             std::string& made) {
  const std::string_view raw = event.domain != 0 ? batch.view(batch.domains[event.domain - 1u].text)
                                                 : raw_domain(batch.view(event.recipient));
  const std::string_view lower = lower_domain(raw, room);
  return lower.empty() ? made = normalise_domain(raw) : lower;
}

bool no_failure(const Verdict& v) {
  return is_no_failure(v.cause);
}

}  // namespace

States::Impl::Impl(const Policy& p, store::Names& n, Options o)
    : policy(p), names(n), options(std::move(o)), around(policy) {
  set_bound();
}

inline SendingHost& States::Impl::host_of(const Batch& batch, const Event& event) {
  const Origin* origin = batch.origin(event.origin);
  const std::uint64_t key = origin == nullptr ? 0 : origin->hash;
  SendingHost*& host = hosts[event.origin];
  // Another origin of this batch may have taken the record's place.
  if (host == nullptr || host->key != key) {
    host = &around.host(key);
    see_replaced();
  }
  return *host;
}

/// Field by field: the vectors and the text keep their capacity.
void States::Impl::clear_state() {
  state.first_us = state.last_delivery_us = state.last_event_us = 0;
  state.last_delivery_message = 0;
  state.held_us = state.held_until_us = 0;
  state.held_message = 0;
  state.has_prior = false;
  state.prior_us = 0;
  state.prior_message = 0;
  state.totals = Totals{};
  state.evidence = 0;
  state.dead_terms = state.soft_terms = 0;
  state.cleared_us = state.lifted_us = state.lapsed_us = 0;
  state.base = Terms{};
  state.days.clear();
  state.failures.clear();
  state.blocks.clear();
  state.text.clear();
}

void States::Impl::malformed() {
  if (error) return;
  error = Error{ErrorCode::data, "apply", "address state", "malformed value",
                "restore the store from a backup"};
}

Entry* States::Impl::load(const AddressId& id) {
  Entry* entry = table.find(id);
  known = entry != nullptr;
  if (entry == nullptr || !decode_into(entry->view(), state)) {
    if (entry != nullptr) malformed();
    clear_state();
  }
  held_before = state.held_until_us;
  return entry;
}

Fact fact_of(const Batch& batch, const Event& event, const Verdict& verdict) {
  Fact fact;
  fact.kind = event.kind;
  fact.time_us = event.time_us;
  fact.message = message_of(event);
  fact.position = event.offset;
  fact.source = event.source;
  fact.tenant = event.tenant;
  fact.stream = event.stream;
  fact.attempted = !event.has(EventFlags::kNotAttempted);
  fact.relay = event.has(EventFlags::kRelay);
  fact.own_mx = !fact.relay && (event.mta_port == 0 || event.mta_port == 25);
  fact.provider = event.kind == EventKind::suppressed && event.hint != ProviderHint::none;
  if (verdict.cause == Cause::domain_unknown) fact.null_mx = is_null_mx(batch, event);
  return fact;
}

Fact States::Impl::fact_of(const Batch& batch, const Event& event, const Verdict& verdict) {
  Fact fact = state::fact_of(batch, event, verdict);
  if (policy.of(verdict.cause).block == BlockKind::filtered && event.final_failure()) {
    const std::string domain = ascii_lower(raw_domain(batch.view(event.sender)));
    if (!domain.empty()) {
      fact.sending_domain = names.intern(store::Dictionary::domain, domain);
    }
  }
  return fact;
}

Provider& States::Impl::find_provider(const Batch& batch, const Event& event) {
  if (event.host == 0) {
    return around.provider(provider_key(batch.view(event.mta_host)));
  }
  ListedHost& listed = listed_hosts[event.host];
  if (listed.call != call) {
    listed = {call, provider_key(batch.view(event.mta_host)), nullptr};
  }
  if (listed.provider == nullptr || listed.provider->key != listed.key) {
    listed.provider = &around.provider(listed.key);
  }
  return *listed.provider;
}

/// Counts the failure among its surroundings, then asks them.
void States::Impl::surround(const Batch& batch, const Event& event, const Verdict& verdict,
                            Fact& fact) {
  enter_hour(event.time_us);
  const bool domain_trouble = policy.of(verdict.cause).level == PolicyLevel::domain;
  // What a deferral would be told is of no use to it: only final failures remember.
  const bool asks = event.final_failure();
  if (event.has(EventFlags::kSession) || domain_trouble) {
    SendingHost& host = host_of(batch, event);
    if (fact.attempted) {
      // Domains behind one provider are related: its trouble is not ours.
      const std::uint64_t who =
          event.mta_host.empty() ? event.domain_id.hi : provider_of_event(batch, event).key;
      around.failed(host, who, event.time_us);
    }
    if (asks) fact.outage = around.outage(host, event.time_us);
  }
  if (event.mta_host.empty() || !fact.attempted) return;
  Provider& provider = provider_of_event(batch, event);
  around.attempt(provider, event.time_us, event.final_failure() && verdict.hard());
  if (asks) fact.incident = around.incident(provider);
}

Decision States::Impl::decide_one(const AddressId& id, bool domain, std::string_view text,
                                  const Fact& fact, const Verdict& verdict, const Batch* batch,
                                  const Event* event) {
  load(id);
  dues.clear();
  for (const BlockRecord& b : state.blocks) {
    if (b.until_us != 0) dues.push_back({b.until_us, id, domain, b.kind});
  }
  Decision decision =
      decide(state, fact, verdict, policy, domain ? PolicyLevel::domain : PolicyLevel::address);
  if (!decision.dirty) return decision;
  if (state.text.empty()) state.text.assign(text.substr(0, limits::kAddressBytesMax));
  const bool words = event != nullptr && !decision.duplicate && !no_failure(verdict) &&
                     fact.kind != EventKind::suppressed && fact.kind != EventKind::delivered;
  std::uint8_t slot = 0;
  if (words) {
    slot = fact.kind == EventKind::deferred
               ? evidence_slot_of_deferral(fact.message)
               : static_cast<std::uint8_t>(state.evidence++ % kEvidenceFinals);
  }
  finish(id, domain, decision);
  if (words) add_evidence(id, slot, *batch, *event, verdict);
  return decision;
}

void States::Impl::add_evidence(const AddressId& id, std::uint8_t slot, const Batch& batch,
                                const Event& event, const Verdict& verdict) {
  char key[17];
  address_key(id, false, key);
  key[16] = static_cast<char>(slot);
  char* const value =
      pending.begin_put(store::Family::evidence, {key, sizeof key}, kEvidenceBytesMax);
  const char* const end = encode_evidence(value, batch, event, verdict, rule_of(verdict));
  pending.end_put(store::Family::evidence, end);
}

void States::Impl::finish(const AddressId& id, bool domain, const Decision& decision) {
  bytes.clear();
  encode(state, bytes);
  if (!known) ++(domain ? domains : addresses);
  put_bytes(id, domain, nullptr);
  if (state.held_until_us != held_before) {
    if (held_before != 0) due.remove({held_before, id, domain, BlockKind::none}, pending);
    if (state.held_us != 0) due.add({state.held_until_us, id, domain, BlockKind::none}, pending);
    held_before = state.held_until_us;
  }
  if (!decision.changes.empty()) publish(id, domain, decision);
}

/// Takes `bytes` as the state of the id, which is at `entry` if it has one.
void States::Impl::put_bytes(const AddressId& id, bool domain, Entry* entry) {
  if (entry != nullptr && entry->size == bytes.size()) {
    std::memcpy(entry->bytes(), bytes.data(), bytes.size());
  } else {
    entry = put(id, bytes, domain);
  }
  mark_moved(entry);
}

/// The first delivery to a domain of which nothing was known.
void States::Impl::new_domain(const Batch& batch, const Event& event, std::int64_t hour_us) {
  char room[256];
  std::string made;
  const std::string_view domain = domain_text(batch, event, room, made);
  if (hour_us != 0) {
    EncodedHead::quiet_domain(hour_us, domain, bytes);
    ++domains;
    put_bytes(event.domain_id, true, nullptr);
    return;
  }
  clear_state();
  known = false;
  held_before = 0;
  state.text.assign(domain);
  finish(event.domain_id, true, {});
}

/// A delivery to somebody at the domain, as far as the batch's list knows what that means.
inline void States::Impl::domain_delivered(const Batch& batch, const Event& event) {
  const ListedDomain& listed = listed_domains[event.domain];
  const bool known_here = listed.call == domain_call;
  if (known_here && listed.entry != nullptr) {
    count_at_domain(event, listed.entry);
  } else if (!known_here || listed.hour_us < hour_floor(event.time_us)) {
    if (!zero(event.domain_id)) find_domain(batch, event);
  }
  if (listed.call == domain_call && event.domain != 0) {
    ready_domains[event.domain] = {ready, listed.entry};
  }
}

/// Counts a delivery to somebody at the domain. Exact where the domain has failures; else only its
/// hour is kept, so that a busy domain is written once an hour, not with every cut.
void States::Impl::find_domain(const Batch& batch, const Event& event) {
  const std::int64_t hour = hour_floor(event.time_us);
  const auto remember = [&](Entry* entry, std::int64_t hour_us) {
    if (event.domain != 0) listed_domains[event.domain] = {domain_call, entry, hour_us};
  };
  Entry* entry = find_entry(event.domain_id, true);
  if (entry == nullptr) {
    new_domain(batch, event, hour);
    return remember(nullptr, hour);
  }
  entry->set(Entry::kReferenced);
  if (!quiet(*entry)) {
    remember(entry, 0);
    return count_at_domain(event, entry);
  }
  const std::int64_t last = EncodedHead::last_delivery(entry->bytes());
  if (last < hour) {
    if (EncodedHead::move_delivery(entry->bytes(), hour)) {
      mark_dirty(entry);
    } else {
      load(event.domain_id);
      state.last_delivery_us = hour;
      state.last_delivery_message = 0;
      finish(event.domain_id, true, {});
    }
  }
  remember(nullptr, std::max(hour, last));
}

/// A delivery on the encoded bytes, where it changes only what can be changed in place; false:
/// nothing was done.
inline bool States::Impl::count_in_place(const Event& event, Entry* entry) {
  switch (EncodedHead::count_delivery(entry->bytes(), event.time_us, message_of(event))) {
    case EncodedHead::Counted::unchanged:
      return true;
    case EncodedHead::Counted::in_place:
      mark_dirty(entry);
      return true;
    case EncodedHead::Counted::decode:
      break;
  }
  return false;
}

/// A delivery to a domain that has failed.
void States::Impl::count_at_domain(const Event& event, Entry* entry) {
  if (count_in_place(event, entry)) return;
  forget_listed(event);
  decide_delivery(event.domain_id, true, event);
}

/// A delivery that may end something.
void States::Impl::decide_delivery(const AddressId& id, bool domain, const Event& event) {
  Fact fact;
  fact.kind = EventKind::delivered;
  fact.time_us = event.time_us;
  fact.message = message_of(event);
  fact.failed_later = revision != nullptr;
  decide_one(id, domain, {}, fact, {}, nullptr, nullptr);
}

/// A delivery to an address that has failed.
void States::Impl::count_at_address(const Event& event, Entry* entry) {
  entry->set(Entry::kReferenced);
  if (revision != nullptr) return decide_delivery(event.recipient_id, false, event);
  if (count_in_place(event, entry)) return;
  if (EncodedHead::add_delivery(entry->view(), event.time_us, message_of(event), bytes)) {
    put_bytes(event.recipient_id, false, entry);
  } else {
    decide_delivery(event.recipient_id, false, event);
  }
}

/// What the delivery has just counted at may be counted at directly by the next one.
inline void States::Impl::make_ready(const Event& event, Provider& provider, SendingHost& host) {
  const std::int64_t hour = event.time_us / kHourUs;
  if (event.host != 0 && provider.dirty && provider.hour == hour) {
    ready_providers[event.host] = {ready, &provider};
  }
  if (host.dirty && host.hour == hour) ready_origins[event.origin] = {ready, &host};
}

inline void States::Impl::delivered(const Batch& batch, const Event& event, bool no_state) {
  const std::int64_t time_us = event.time_us;
  enter_hour(time_us);
  if (!no_state) {
    if (Entry* const entry = find_entry(event.recipient_id, false)) count_at_address(event, entry);
  }
  if (!event.mta_host.empty()) {
    Provider& provider = provider_of_event(batch, event);
    around.attempt(provider, time_us, false);
    SendingHost& host = host_of(batch, event);
    around.delivered(host, time_us);
    if (time_us >= 0) make_ready(event, provider, host);
  }
  domain_delivered(batch, event);
}

/// A delivery to an address of which nothing is known, where all is ready: as delivered() would
/// have it. False: nothing was done.
[[gnu::always_inline]] inline bool States::Impl::count_plain(const Event& event) {
  const Ready<Provider>& provider = ready_providers[event.host];
  const Ready<SendingHost>& origin = ready_origins[event.origin];
  const Ready<Entry>& domain = ready_domains[event.domain];
  if (event.kind != EventKind::delivered || !in_ready_hour(event.time_us) ||
      provider.stamp != ready || origin.stamp != ready || domain.stamp != ready) {
    return false;
  }
  if (domain.counters != nullptr && !count_in_place(event, domain.counters)) return false;
  ++provider.counters->hour_attempts;
  ++provider.counters->day_attempts;
  ++origin.counters->delivered[0];
  return true;
}

/// A deferral on the encoded bytes, as decide() would have it; false: decode and decide.
bool States::Impl::deferred(const Batch& batch, const Event& event, const Verdict& verdict,
                            Entry* entry) {
  if (entry != nullptr) {
    if (!EncodedHead::add_deferral(entry->view(), event.time_us, bytes)) return false;
  } else {
    const std::string_view text = batch.view(event.recipient);
    if (event.time_us <= 0) return false;
    EncodedHead::first_deferral(event.time_us, text.substr(0, limits::kAddressBytesMax), bytes);
    ++addresses;
  }
  put_bytes(event.recipient_id, false, entry);
  add_evidence(event.recipient_id, evidence_slot_of_deferral(message_of(event)), batch, event,
               verdict);
  return true;
}

/// Deferred, bounced, expired. True when it counts for rates.
bool States::Impl::failing(const Batch& batch, const Event& event) {
  const Verdict* told = batch.verdict(event);
  const Verdict verdict = told == nullptr ? Verdict{} : *told;
  Fact fact = fact_of(batch, event, verdict);
  if (revision != nullptr) fact.delivered_us = revision->time_us;
  if (!no_failure(verdict)) surround(batch, event, verdict, fact);
  const bool domain_level =
      policy.of(verdict.cause).level == PolicyLevel::domain && event.final_failure();
  if (Entry* domain = zero(event.domain_id) ? nullptr : find_entry(event.domain_id, true)) {
    domain->set(Entry::kReferenced);
    // Only the newest delivery is needed, and whether a block waits for DNS to answer.
    const bool blocked = domain->bytes()[3] != 0;
    fact.domain_delivery_us = EncodedHead::last_delivery(domain->bytes());
    const bool reached = !event.mta_ip.empty() && !fact.relay;  // by what DNS says of the domain
    if (blocked && reached && verdict.cause != Cause::domain_unknown) {
      load(event.domain_id);
      dues.clear();
      forget_listed(event);
      const Decision answered = decide_answered(state, event.time_us, policy);
      if (answered.dirty) finish(event.domain_id, true, answered);
    }
  }
  Entry* const entry = find_entry(event.recipient_id, false);
  if (event.kind == EventKind::deferred && !no_failure(verdict) &&
      deferred(batch, event, verdict, entry)) {
    return true;
  }
  const Decision decision = decide_one(event.recipient_id, false, batch.view(event.recipient), fact,
                                       verdict, &batch, &event);
  if (no_failure(verdict) || decision.duplicate) {
    counts.duplicates += decision.duplicate;
    return false;
  }
  if (domain_level && !zero(event.domain_id)) {
    forget_listed(event);
    char room[256];
    std::string made;
    const std::string_view domain = domain_text(batch, event, room, made);
    decide_one(event.domain_id, true, domain, fact, verdict, nullptr, nullptr);
  }
  if (event.final_failure()) {
    counts.hard += verdict.bounce_class == BounceClass::hard;
    counts.soft += verdict.bounce_class == BounceClass::soft;
    counts.blocked += verdict.bounce_class == BounceClass::blocked;
  }
  return true;
}

/// What happens to a state by time alone.
void States::Impl::fire(const DueEntry& entry) {
  if (find_entry(entry.id, entry.domain) == nullptr) return;
  load(entry.id);
  if (held_before == entry.time_us) held_before = 0;  // this is its entry, and gone
  dues.clear();
  for (const BlockRecord& b : state.blocks) {
    if (b.until_us > entry.time_us) dues.push_back({b.until_us, entry.id, entry.domain, b.kind});
  }
  const Decision decision = decide_at(state, entry.time_us, policy);
  if (decision.dirty) finish(entry.id, entry.domain, decision);
}

/// Complained, unsubscribed, resubscribed, suppressed.
bool States::Impl::other(const Batch& batch, const Event& event) {
  const Verdict* told = batch.verdict(event);
  const Verdict verdict = told == nullptr ? Verdict{} : *told;
  const Fact fact = fact_of(batch, event, verdict);
  find_entry(event.recipient_id, false);
  decide_one(event.recipient_id, false, batch.view(event.recipient), fact, verdict, &batch, &event);
  return event.kind != EventKind::suppressed;
}

inline bool States::Impl::apply_one(const Batch& batch, const Event& event, bool no_state) {
  ++counts.by_kind[static_cast<std::size_t>(event.kind)];
  if (zero(event.recipient_id)) return false;
  switch (event.kind) {
    case EventKind::delivered:
      delivered(batch, event, no_state);
      return true;
    case EventKind::deferred:
    case EventKind::bounced:
    case EventKind::expired:
      return failing(batch, event);
    case EventKind::complained:
    case EventKind::unsubscribed:
    case EventKind::resubscribed:
    case EventKind::suppressed:
      return other(batch, event);
    case EventKind::none:
    case EventKind::relayed:
    case EventKind::autoreplied:
    case EventKind::discarded:
    case EventKind::probed:
      break;
  }
  return false;
}

// --- the public face ---------------------------------------------------------------------------

States::States(const Policy& policy, store::Names& names, Options options)
    : impl_(std::make_unique<Impl>(policy, names, std::move(options))) {}
States::~States() = default;

void States::set_policy(const Policy& policy) {
  impl_->policy = policy;
}

Result<void> States::open(const store::Store* store) {
  return impl_->open(store);
}
Result<void> States::wait_complete() {
  while (impl_->scanning) {
    if (auto drained = impl_->drain(1, kScanWaitUs); !drained) return drained;
  }
  return {};
}
void States::close() {
  impl_->scan.reset();
}

Result<void> States::apply(const Batch& batch, std::span<Event* const> events,
                           std::vector<std::uint8_t>* counted) {
  std::vector<std::uint8_t> untold;
  std::vector<std::uint8_t>& told = counted != nullptr ? *counted : untold;
  told.assign(events.size(), false);
  if (auto begun = begin(batch, events); !begun) return begun;
  part(batch, events, 0, events.size(), told);
  return end();
}

Result<void> States::begin(const Batch& batch, std::span<Event* const> events) {
  Impl& m = *impl_;
  if (auto drained = m.drain(8, 0); !drained) return drained;
  if (m.cold_possible()) {
    if (auto fetched = m.fetch_cold(events); !fetched) return fetched;
  }
  m.begin_call(batch, events.size());
  return {};
}

void States::part(const Batch& batch, std::span<Event* const> events, std::size_t from,
                  std::size_t to, std::vector<std::uint8_t>& counted) {
  Impl& m = *impl_;
  std::uint64_t plain = 0;
  const bool revised = !batch.revisions.empty();
  for (std::size_t begin = from; begin < to; begin += Impl::kGroup) {
    m.look_ahead(batch, events, begin, to);
    for (std::size_t i = 0; i < m.group.size(); ++i) {
      m.turn = i;
      m.prefetch_ahead(i);
      const Event& event = *m.group[i];
      if (revised) [[unlikely]]
        m.revision = batch.revision(begin + i);
      const bool unknown = (m.unknown >> i & 1) != 0;
      if (unknown && m.count_plain(event)) {
        ++plain;
        counted[begin + i] = 1;
      } else {
        counted[begin + i] = m.apply_one(batch, event, unknown);
      }
    }
  }
  m.group = {};
  m.revision = nullptr;
  m.counts.by_kind[static_cast<std::size_t>(EventKind::delivered)] += plain;
}

Result<void> States::end() {
  Impl& m = *impl_;
  m.absent.clear();
  m.set_bound();
  if (m.error) return tl::unexpected<Error>(*m.error);
  return {};
}

Result<bool> States::tick(std::int64_t watermark_us) {
  constexpr std::size_t kFetched = 256;
  Impl& m = *impl_;
  if (auto drained = m.drain(64, 0); !drained) return tl::unexpected<Error>(drained.error());
  DueEntry entry;
  std::size_t fired = 0;
  for (std::size_t fetched = 0; fired < kTickEntries; ++fired) {
    if (fetched == 0 && m.cold_possible()) {
      m.due.peek(watermark_us, kFetched, m.dues_ahead);
      fetched = m.dues_ahead.size();
      if (auto got = m.fetch_cold(m.dues_ahead); !got) return tl::unexpected<Error>(got.error());
    }
    const auto more = m.due.next(watermark_us, entry, m.pending);
    if (!more) return tl::unexpected<Error>(more.error());
    if (!*more) break;
    fetched -= fetched != 0;
    m.fire(entry);
  }
  if (auto ended = end(); !ended) return tl::unexpected<Error>(ended.error());
  return fired == kTickEntries;
}

Result<bool> States::command(const Command& command) {
  Impl& m = *impl_;
  AddressId id, of_address;
  const std::string domain = command.domain ? normalise_domain(command.address) : std::string();
  if (command.domain && !domain.empty()) {
    id = m.hasher.domain_id(domain);
  } else if (command.domain || !m.hasher.ids(command.address, id, of_address)) {
    return fail(ErrorCode::usage, "address", command.address, "not an address",
                "give it as local@domain, or a domain");
  }
  m.find_entry(id, command.domain);
  m.load(id);
  // What could not be read must not be taken for nothing, and written over.
  if (m.error) return tl::unexpected<Error>(*m.error);
  m.dues.clear();
  for (const BlockRecord& b : m.state.blocks) {
    if (b.until_us != 0) m.dues.push_back({b.until_us, id, command.domain, b.kind});
  }
  Decision decision;
  if (command.kind == Command::Kind::block) {
    BlockRecord record = command.record;
    if (record.since_us == 0) record.since_us = command.time_us;
    record.actor =
        command.actor != 0 ? command.actor : m.names.intern(store::Dictionary::actor, "operator");
    decision = decide_block(m.state, record, command.time_us);
  } else {
    decision = decide_unblock(m.state, command.kind_mask, command.time_us, command.only);
  }
  if (m.state.text.empty()) m.state.text = command.domain ? domain : command.address;
  if (decision.dirty) m.finish(id, command.domain, decision);
  if (m.error) return tl::unexpected<Error>(*m.error);
  return decision.dirty;
}

Result<std::optional<AddressState>> States::find(const AddressId& id) {
  Impl& m = *impl_;
  if (m.find_entry(id, false) == nullptr) {
    if (m.error) return tl::unexpected<Error>(*m.error);
    return std::optional<AddressState>();
  }
  m.load(id);
  if (m.error) return tl::unexpected<Error>(*m.error);
  return std::optional<AddressState>(m.state);
}

Result<std::optional<AddressState>> States::find_domain(const AddressId& id) {
  Impl& m = *impl_;
  if (m.find_entry(id, true) == nullptr) {
    if (m.error) return tl::unexpected<Error>(*m.error);
    return std::optional<AddressState>();
  }
  m.load(id);
  if (m.error) return tl::unexpected<Error>(*m.error);
  return std::optional<AddressState>(m.state);
}

const BlockView& States::view() const {
  return impl_->view;
}
const Counts& States::counts() const {
  return impl_->counts;
}

States::Stats States::stats() const {
  const Impl& m = *impl_;
  Stats s;
  s.addresses = m.addresses;
  s.addresses_ram = m.table.size();
  s.table_bytes = m.table.bytes() + m.filter.bytes();
  s.evictions = m.evictions;
  s.cold_fetches = m.cold_fetches;
  s.domains = m.domains;
  s.blocked = m.view.size();
  s.last_seq = m.seq;
  s.complete = !m.scanning;
  return s;
}

}  // namespace bounced::state
