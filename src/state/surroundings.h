// Surroundings: what decide needs to know about others at the moment of an event: is our own
// network down (outage), has a provider gone mad (incident). Both are counted in event order and
// written with every cut, so that neither cuts nor restarts change an answer.
//
// Thread safety: none; the apply thread's. Memory: fixed (about 3 MiB).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/prefetch.h"
#include "base/time.h"
#include "bounced/event.h"
#include "bounced/policy.h"
#include "bounced/result.h"
#include "store/store.h"
#include "store/write_set.h"

namespace bounced::state {

/// Domains that fail from one of our hosts: sliding, the newest kept.
struct SendingHost {
  static constexpr std::size_t kDomains = 16;
  std::uint64_t key = 0;  ///< Origin::hash
  std::int64_t hour = 0;  ///< of the counters [0]; [1] is the hour before
  std::array<std::uint32_t, 2> delivered{}, failed{};
  std::array<std::uint64_t, kDomains> domains{};  ///< failing ones, newest times
  std::array<std::int64_t, kDomains> times{};
  bool dirty = false;
};

/// Hard verdicts at one answering provider, by hour and over 28 days. A usual event changes the
/// first line alone.
struct alignas(64) Provider {
  static constexpr std::size_t kDays = 29;  ///< today and the base
  std::uint64_t key = 0;
  std::int64_t hour = 0, day = 0;
  std::uint32_t hour_attempts = 0, hour_hard = 0;
  std::uint32_t day_attempts = 0, day_hard = 0;  ///< of `day`, not yet in the arrays
  bool incident_before = false;                  ///< the hour before ended in an incident
  bool dirty = false;
  std::uint64_t base_attempts = 0, base_hard = 0;       ///< of the days before `day`
  std::array<std::uint32_t, kDays> attempts{}, hard{};  ///< by day mod kDays
  std::uint32_t days = 0;                               ///< bit n: attempts[n] or hard[n] is not 0
  [[nodiscard]] std::size_t today() const { return static_cast<std::size_t>(day) % kDays; }
};

/// Registrable part of an MX host by its last two labels (three below "co.uk" and the like): the
/// provider that answered.
std::string_view provider_of(std::string_view mx_host);

class Surroundings {
 public:
  explicit Surroundings(const Policy& policy);
  Result<void> load(const store::Store& store);

  /// The record of a sending host; stays valid until 64 further hosts have come.
  SendingHost& host(std::uint64_t key);
  void delivered(SendingHost& host, std::int64_t time_us) {
    if (host.dirty && time_us / kHourUs == host.hour) {
      ++host.delivered[0];
    } else {
      delivered_first(host, time_us);
    }
  }
  /// A failure of a session, or of DNS, with `domain` (or the provider behind it).
  void failed(SendingHost& host, std::uint64_t domain, std::int64_t time_us);
  /// Too many unrelated domains fail from there, and not just because it sends so much: more than
  /// outage_domains_max within the hour, and at least a fifth of what was tried.
  [[nodiscard]] bool outage(const SendingHost& host, std::int64_t time_us) const;

  void prefetch_provider(std::uint64_t key) const {
    bounced::prefetch(&provider_keys_[key % kSets * kWays]);
    bounced::prefetch(&providers_[key % kSets * kWays]);
  }
  /// Null when it is not known.
  [[nodiscard]] Provider* find_provider(std::uint64_t key) {
    const std::size_t set = key % kSets * kWays;
    for (std::size_t i = set; i < set + kWays; ++i) {
      if (provider_keys_[i] == key) return &providers_[i];
    }
    return nullptr;
  }
  /// Stays that provider's as long as Provider::key says so.
  Provider& provider(std::uint64_t key);
  void attempt(Provider& provider, std::int64_t time_us, bool hard) {
    if (time_us < 0) return;
    if (!provider.dirty) note_dirty(provider);
    const std::int64_t hour = time_us / kHourUs;
    if (hour != provider.hour) {
      if (hour < provider.hour) return;  // late: the hour it belongs to is over
      roll(provider, hour);
    }
    ++provider.hour_attempts;
    provider.hour_hard += hard;
    ++provider.day_attempts;
    provider.day_hard += hard;
  }
  [[nodiscard]] bool incident(const Provider& provider) const;

  /// How often a record has taken the place of another one.
  [[nodiscard]] std::uint64_t replaced() const { return replaced_; }

  void append_to(store::WriteSet& set);
  [[nodiscard]] std::size_t dirty_records() const { return dirty_; }

 private:
  void delivered_first(SendingHost& host, std::int64_t time_us);
  void roll(Provider& provider, std::int64_t hour) const;
  void note_dirty(Provider& provider);

  static constexpr std::size_t kHosts = 64, kWays = 4, kSets = 2048;
  const Policy& policy_;
  std::vector<SendingHost> hosts_;
  std::vector<std::uint64_t> provider_keys_;  // of providers_, so that a set is half a line
  std::vector<Provider> providers_;           // kSets x kWays
  std::vector<std::uint32_t> dirty_providers_;
  std::size_t dirty_ = 0;
  std::uint64_t replaced_ = 0;
  std::vector<std::uint64_t> gone_hosts_, gone_providers_;
};

}  // namespace bounced::state
