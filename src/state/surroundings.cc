#include "state/surroundings.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/hash.h"
#include "base/text.h"
#include "base/time.h"
#include "state/state.h"
#include "store/varint.h"

namespace bounced::state {
namespace {

constexpr std::string_view kHostPrefix = "state/host/", kProviderPrefix = "state/provider/";
// A base rate means something only after a day and this many attempts.
constexpr std::uint64_t kBaseAttemptsMin = 1000;
constexpr double kBaseRateMin = 0.001;
constexpr std::uint32_t kOutageShare = 5;  // failed attempts are at least one in five

std::string key_of(std::string_view prefix, std::uint64_t key) {
  std::string out(prefix);
  store::append_u64_be(out, key);
  return out;
}

void encode_host(const SendingHost& h, std::string& out) {
  using store::append_varint;
  out.push_back(1);
  append_varint(out, store::zigzag(h.hour));
  for (const std::uint32_t n : {h.delivered[0], h.delivered[1], h.failed[0], h.failed[1]}) {
    append_varint(out, n);
  }
  for (std::size_t i = 0; i < SendingHost::kDomains; ++i) {
    append_varint(out, h.domains[i]);
    append_varint(out, store::zigzag(h.times[i]));
  }
}

bool decode_host(std::string_view in, SendingHost& h) {
  std::uint64_t v = 0;
  const auto number = [&] { return store::read_varint(in, v) ? v : (in = {}, 0); };
  if (in.empty() || in[0] != 1) return false;
  in.remove_prefix(1);
  h.hour = store::unzigzag(number());
  for (std::uint32_t* n : {&h.delivered[0], &h.delivered[1], &h.failed[0], &h.failed[1]}) {
    *n = static_cast<std::uint32_t>(number());
  }
  for (std::size_t i = 0; i < SendingHost::kDomains; ++i) {
    if (in.empty()) return false;
    h.domains[i] = number();
    h.times[i] = store::unzigzag(number());
  }
  return in.empty();
}

/// Calls visit(n) for each bit n.
template <class Visit>
void each_bit(std::uint32_t bits, Visit&& visit) {
  for (; bits != 0; bits &= bits - 1) visit(static_cast<std::size_t>(__builtin_ctz(bits)));
}

/// What is kept of each day, as read from a record: that of today is not yet in the arrays.
void sum_up(Provider& p) {
  p.day_attempts = p.attempts[p.today()];
  p.day_hard = p.hard[p.today()];
  p.attempts[p.today()] = p.hard[p.today()] = 0;
  p.days = 0;
  p.base_attempts = p.base_hard = 0;
  for (std::size_t i = 0; i < Provider::kDays; ++i) {
    p.days |= static_cast<std::uint32_t>((p.attempts[i] | p.hard[i]) != 0) << i;
    p.base_attempts += p.attempts[i];
    p.base_hard += p.hard[i];
  }
}

/// Most providers answer on few days, of which alone is told. 1 had all days; it is still read.
constexpr std::uint8_t kProviderVersion = 2;

/// `out` has room for kProviderBytesMax.
constexpr std::size_t kProviderBytesMax = 64 + Provider::kDays * 10;
std::string_view encode_provider(const Provider& p, char* const out) {
  char* end = out;
  const auto number = [&end](std::uint64_t v) {
    for (; v >= 0x80; v >>= 7) *end++ = static_cast<char>(v | 0x80);
    *end++ = static_cast<char>(v);
  };
  number(kProviderVersion);
  number(store::zigzag(p.hour));
  number(store::zigzag(p.day));
  number(p.hour_attempts);
  number(p.hour_hard);
  number(p.incident_before ? 1 : 0);
  number(p.day_attempts);
  number(p.day_hard);
  number(p.days);
  each_bit(p.days, [&](std::size_t i) {
    number(p.attempts[i]);
    number(p.hard[i]);
  });
  return {out, static_cast<std::size_t>(end - out)};
}

bool decode_provider(std::string_view in, Provider& p) {
  std::uint64_t v = 0;
  bool ok = true;
  const auto number = [&] {
    ok = ok && store::read_varint(in, v);
    return ok ? v : 0;
  };
  const auto count = [&] { return static_cast<std::uint32_t>(number()); };
  const std::uint64_t version = number();
  if (version != 1 && version != kProviderVersion) return false;
  p.hour = store::unzigzag(number());
  p.day = store::unzigzag(number());
  if (p.day < 0) return false;
  p.hour_attempts = count();
  p.hour_hard = count();
  p.incident_before = number() != 0;
  // 1: the sums of the days; they are made anew.
  const std::uint32_t attempts = count(), hard = count();
  const std::uint32_t days = version == 1 ? (1u << Provider::kDays) - 1 : count();
  if (days >> Provider::kDays != 0) return false;
  each_bit(days, [&](std::size_t i) {
    p.attempts[i] = count();
    p.hard[i] = count();
  });
  if (version != 1) {
    p.attempts[p.today()] = attempts;
    p.hard[p.today()] = hard;
  }
  sum_up(p);
  return ok && in.empty();
}

std::uint64_t weight(const Provider& p) {
  return p.base_attempts + p.day_attempts;
}

}  // namespace

std::string_view provider_of(std::string_view host) {
  while (!host.empty() && host.back() == '.') host.remove_suffix(1);
  const char* const begin = host.data();
  const char* const end = begin + host.size();
  const char* label_end = end;
  std::ptrdiff_t last_size = 0;
  int labels = 0;
  for (const char* p = end; p != begin; --p) {
    if (p[-1] != '.') continue;
    const std::ptrdiff_t size = label_end - p;
    ++labels;
    if (labels == 1) last_size = size;
    // "example.co.uk": a country and a short second label do not name anybody.
    if (labels == 3 || (labels == 2 && !(last_size == 2 && size <= 3))) {
      return {p, static_cast<std::size_t>(end - p)};
    }
    label_end = p - 1;
  }
  return host;
}

Surroundings::Surroundings(const Policy& policy)
    : policy_(policy), provider_keys_(kSets * kWays), providers_(kSets * kWays) {
  hosts_.reserve(kHosts);
}

Result<void> Surroundings::load(const store::Store& store) {
  bool ok = true;
  auto result = store.scan(store::Family::meta, kHostPrefix, {}, [&](auto key, auto value) {
    SendingHost h;
    ok = key.size() == kHostPrefix.size() + 8 && decode_host(value, h);
    if (!ok) return false;
    h.key = store::read_u64_be(key.data() + kHostPrefix.size());
    if (hosts_.size() < kHosts) hosts_.push_back(h);
    return true;
  });
  if (!result) return result;
  result = store.scan(store::Family::meta, kProviderPrefix, {}, [&](auto key, auto value) {
    Provider p;
    ok = key.size() == kProviderPrefix.size() + 8 && decode_provider(value, p);
    if (!ok) return false;
    p.key = store::read_u64_be(key.data() + kProviderPrefix.size());
    const std::size_t set = p.key % kSets * kWays;
    for (std::size_t i = set; i < set + kWays; ++i) {
      if (provider_keys_[i] != 0) continue;
      provider_keys_[i] = p.key;
      providers_[i] = p;
      break;
    }
    return true;
  });
  if (!result) return result;
  if (!ok) {
    return fail(ErrorCode::data, "open", store.directory(), "malformed state/ record in meta",
                "restore the store from a backup");
  }
  return {};
}

SendingHost& Surroundings::host(std::uint64_t key) {
  for (SendingHost& h : hosts_) {
    if (h.key == key) return h;
  }
  SendingHost* place = nullptr;
  if (hosts_.size() < kHosts) {
    place = &hosts_.emplace_back();
  } else {
    // Full: the one that has been silent longest goes; a rule of the log alone.
    place = &*std::min_element(hosts_.begin(), hosts_.end(), [](const auto& a, const auto& b) {
      return std::pair(a.hour, a.key) < std::pair(b.hour, b.key);
    });
    gone_hosts_.push_back(place->key);
    ++replaced_;
    if (place->dirty) --dirty_;
    *place = SendingHost{};
  }
  place->key = key;
  return *place;
}

namespace {
/// False when the time lies before the two hours that are kept.
bool roll_host(SendingHost& h, std::int64_t time_us, std::size_t& slot) {
  const std::int64_t hour = time_us / kHourUs;
  if (hour > h.hour) {
    const bool next = hour == h.hour + 1;
    h.delivered = {0, next ? h.delivered[0] : 0};
    h.failed = {0, next ? h.failed[0] : 0};
    h.hour = hour;
  }
  slot = static_cast<std::size_t>(h.hour - hour);
  return slot < 2;
}
}  // namespace

/// The first of an hour or since a cut; or a late one.
void Surroundings::delivered_first(SendingHost& h, std::int64_t time_us) {
  std::size_t slot = 0;
  if (!roll_host(h, time_us, slot)) return;
  ++h.delivered[slot];
  if (!h.dirty) {
    h.dirty = true;
    ++dirty_;
  }
}

void Surroundings::failed(SendingHost& h, std::uint64_t domain, std::int64_t time_us) {
  std::size_t slot = 0;
  if (!roll_host(h, time_us, slot)) return;
  ++h.failed[slot];
  if (!h.dirty) {
    h.dirty = true;
    ++dirty_;
  }
  // The same domain again, else the place of the oldest.
  std::size_t at = 0;
  for (std::size_t i = 0; i < SendingHost::kDomains; ++i) {
    if (h.domains[i] == domain && h.times[i] != 0) {
      h.times[i] = std::max(h.times[i], time_us);
      return;
    }
    if (h.times[i] < h.times[at]) at = i;
  }
  if (h.times[at] >= time_us) return;
  h.domains[at] = domain;
  h.times[at] = time_us;
}

bool Surroundings::outage(const SendingHost& h, std::int64_t time_us) const {
  std::uint32_t domains = 0;
  for (const std::int64_t t : h.times) domains += t > time_us - kHourUs && t <= time_us + kHourUs;
  if (domains <= policy_.outage_domains_max) return false;
  const std::uint64_t failed = std::uint64_t{h.failed[0]} + h.failed[1];
  const std::uint64_t delivered = std::uint64_t{h.delivered[0]} + h.delivered[1];
  return failed * kOutageShare >= failed + delivered;
}

std::uint64_t provider_key(std::string_view mx_host) {
  const std::string_view name = provider_of(mx_host);
  char lower[64];
  const std::size_t n = std::min(name.size(), sizeof lower);
  for (std::size_t i = 0; i < n; ++i) lower[i] = ascii_lower(name[i]);
  const std::uint64_t key = hash64({lower, n});
  return key == 0 ? 1 : key;
}

Provider& Surroundings::provider(std::uint64_t key) {
  if (Provider* const known = find_provider(key)) return *known;
  const std::size_t set = key % kSets * kWays;
  // Full: the smallest goes. What has 200 attempts an hour stays.
  std::size_t place = set;
  const auto rank = [this](std::size_t i) {
    return std::tuple(provider_keys_[i] != 0, weight(providers_[i]), provider_keys_[i]);
  };
  for (std::size_t i = set + 1; i < set + kWays; ++i) {
    if (rank(i) < rank(place)) place = i;
  }
  Provider& found = providers_[place];
  if (found.key != 0) {
    gone_providers_.push_back(found.key);
    ++replaced_;
    if (found.dirty) --dirty_;
  }
  found = Provider{};
  found.key = provider_keys_[place] = key;
  return found;
}

/// To an hour newer than the record's.
void Surroundings::roll(Provider& p, std::int64_t hour) const {
  p.incident_before = hour == p.hour + 1 && incident(p);
  p.hour = hour;
  p.hour_attempts = p.hour_hard = 0;
  const std::int64_t day = hour / 24;
  if (day == p.day) return;
  p.attempts[p.today()] = p.day_attempts;
  p.hard[p.today()] = p.day_hard;
  if ((p.day_attempts | p.day_hard) != 0) p.days |= 1u << p.today();
  p.day_attempts = p.day_hard = 0;
  constexpr auto kDays = static_cast<std::int64_t>(Provider::kDays);
  std::uint32_t gone = 0;
  for (std::int64_t d = std::max(p.day + 1, day - kDays + 1); d <= day && p.days != 0; ++d) {
    gone |= 1u << (d % kDays);
  }
  p.days &= ~gone;
  p.day = day;
  p.base_attempts = p.base_hard = 0;
  each_bit(gone, [&](std::size_t i) { p.attempts[i] = p.hard[i] = 0; });
  each_bit(p.days, [&](std::size_t i) {
    p.base_attempts += p.attempts[i];
    p.base_hard += p.hard[i];
  });
}

void Surroundings::note_dirty(Provider& p) {
  p.dirty = true;
  ++dirty_;
  dirty_providers_.push_back(static_cast<std::uint32_t>(&p - providers_.data()));
}

bool Surroundings::incident(const Provider& p) const {
  if (p.hour_attempts < policy_.incident_attempts_min) return p.incident_before;
  if (p.base_attempts < kBaseAttemptsMin) return false;
  const double base = std::max(
      kBaseRateMin, static_cast<double>(p.base_hard) / static_cast<double>(p.base_attempts));
  return static_cast<double>(p.hour_hard) >
         policy_.incident_factor * base * static_cast<double>(p.hour_attempts);
}

void Surroundings::append_to(store::WriteSet& set) {
  for (const std::uint64_t key : gone_hosts_) {
    set.erase(store::Family::meta, key_of(kHostPrefix, key));
  }
  for (const std::uint64_t key : gone_providers_) {
    set.erase(store::Family::meta, key_of(kProviderPrefix, key));
  }
  gone_hosts_.clear();
  gone_providers_.clear();
  std::string value;
  for (SendingHost& h : hosts_) {
    if (!h.dirty) continue;
    value.clear();
    encode_host(h, value);
    set.put(store::Family::meta, key_of(kHostPrefix, h.key), value);
    h.dirty = false;
  }
  char provider_key[kProviderPrefix.size() + 8], provider_value[kProviderBytesMax];
  std::memcpy(provider_key, kProviderPrefix.data(), kProviderPrefix.size());
  for (const std::uint32_t i : dirty_providers_) {
    Provider& p = providers_[i];
    if (!p.dirty) continue;
    const std::uint64_t key = __builtin_bswap64(p.key);
    std::memcpy(provider_key + kProviderPrefix.size(), &key, sizeof key);
    set.put(store::Family::meta, {provider_key, sizeof provider_key},
            encode_provider(p, provider_value));
    p.dirty = false;
  }
  dirty_providers_.clear();
  dirty_ = 0;
}

}  // namespace bounced::state
