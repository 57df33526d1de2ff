// States: what the next events will look at, looked up together before their turn.
#include <algorithm>

#include "state/states_impl.h"

namespace bounced::state {
namespace {

/// A call with fewer events looks up what it needs as it comes.
constexpr std::size_t kListedMin = 64;

}  // namespace

/// What the lists of another batch stood for is out of date.
void States::Impl::begin_call(const Batch& batch, std::size_t events) {
  hosts.assign(batch.origins.size() + 1, nullptr);
  ++call;
  forget_domains();
  const std::size_t domain_numbers = std::max(listed_domains.size(), batch.domains.size() + 1);
  listed_domains.resize(domain_numbers);
  ready_domains.resize(domain_numbers);
  const std::size_t host_numbers = std::max(listed_hosts.size(), batch.hosts.size() + 1);
  listed_hosts.resize(host_numbers);
  ready_providers.resize(host_numbers);
  ready_origins.resize(std::max(ready_origins.size(), batch.origins.size() + 1));
  if (events < std::max(kListedMin, batch.domains.size())) return;
  for (const BatchDomain& domain : batch.domains) table.prefetch_slot(domain.id);
  for (const std::uint64_t provider : batch.providers) around.prefetch_provider(provider);
  guesses.clear();
  for (const BatchDomain& domain : batch.domains) guesses.push_back(table.guess(domain.id));
  find_listed_hosts(batch);
  find_listed_domains(batch);
}

void States::Impl::find_listed_hosts(const Batch& batch) {
  const std::int64_t hour = ready_hour_us / kHourUs;
  for (std::size_t i = 0; i < batch.providers.size(); ++i) {
    const std::uint64_t key = batch.providers[i];
    Provider* const provider = around.find_provider(key);
    listed_hosts[i + 1] = {call, key, provider};
    if (provider != nullptr && provider->dirty && provider->hour == hour) {
      ready_providers[i + 1] = {ready, provider};
    }
  }
}

/// As the first delivery of this hour to each of them would have it; where that would do more than
/// look, nothing.
void States::Impl::find_listed_domains(const Batch& batch) {
  for (std::size_t i = 0; i < batch.domains.size(); ++i) {
    Entry* const entry = guesses[i];
    if (entry == nullptr || !(entry->id() == batch.domains[i].id)) continue;
    entry->set(Entry::kReferenced);
    if (!quiet(*entry)) {
      listed_domains[i + 1] = {domain_call, entry, 0};
      ready_domains[i + 1] = {ready, entry};
      continue;
    }
    const std::int64_t last = EncodedHead::last_delivery(entry->bytes());
    if (last < ready_hour_us) continue;
    listed_domains[i + 1] = {domain_call, nullptr, last};
    ready_domains[i + 1] = {ready, nullptr};
  }
}

/// Sends for what the first delivery of the batch to a domain looks at: most likely it is new, and
/// nobody has read its name yet.
void States::Impl::prefetch_domain(const Batch& batch, const Event& event) const {
  if (listed_domains[event.domain].call == domain_call) return;
  table.prefetch_slot(event.domain_id);
  if (event.domain == 0) return;
  bounced::prefetch(batch.view(batch.domains[event.domain - 1u].text).data());
}

/// A batch was parsed on another core: its texts are as cold as the table.
void States::Impl::prefetch_words(const Batch& batch, const Event& event) const {
  if (event.verdict != 0) bounced::prefetch(batch.verdict(event));
  const std::string_view words = batch.view(event.diagnostic);
  prefetch_lines(words.data(), std::min<std::size_t>(words.size(), 320));
  for (const Text text : {event.queue_id, event.mta_host, event.sender, event.message_id}) {
    const std::string_view part = batch.view(text);
    bounced::prefetch(part.data());
    bounced::prefetch(part.data() + part.size());
  }
  if (event.final_failure()) view.prefetch(event.recipient_id);
}

/// Something is known of the address from now on.
void States::Impl::know(const AddressId& id) {
  for (std::size_t i = turn + 1; i < group.size(); ++i) {
    if (group[i]->recipient_id == id) unknown &= ~(1u << i);
  }
}

/// Looks up the recipients of the group that begins there.
void States::Impl::look_ahead(const Batch& batch, std::span<Event* const> events, std::size_t begin,
                              std::size_t end) {
  const auto rest = events.subspan(begin);
  group = rest.first(std::min(kGroup, end - begin));
  near = rest.subspan(std::min(kGroup, rest.size()));
  far = near.subspan(std::min(kGroup, near.size()));
  std::uint32_t known_not = 0;
  for (std::size_t i = 0; i < group.size(); ++i) {
    const Event& event = *group[i];
    if (!may_be_known(event.recipient_id)) known_not |= 1u << i;
    if (ready_domains[event.domain].stamp != ready) prefetch_domain(batch, event);
    if (event.kind != EventKind::delivered) prefetch_words(batch, event);
  }
  unknown = known_not;
}

}  // namespace bounced::state
