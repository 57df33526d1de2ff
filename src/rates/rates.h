// rates: counters by dimension and hour of event time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/batch.h"
#include "bounced/result.h"
#include "store/names.h"
#include "store/store.h"
#include "store/write_set.h"

namespace bounced::rates {

/// One dimension x hour; domain and campaign also x cause.
enum class Dimension : std::uint8_t {
  total,
  domain,
  sender,
  campaign,
  stream,
  tenant,
  cause,
  domain_cause,
  campaign_cause,
  mta
};
std::string_view to_string(Dimension dimension);
bool from_string(std::string_view text, Dimension& out);

/// Recipients, not lines. sent = delivered + bounced + expired.
struct Cell {
  std::uint64_t delivered = 0;
  std::uint64_t hard = 0, soft = 0, blocked = 0;  ///< final failures by class
  std::uint64_t expired = 0;                      ///< of the final failures, those that expired
  std::uint64_t deferred = 0;                     ///< attempts
  std::uint64_t complained = 0, unsubscribed = 0, suppressed = 0;
  void add(const Cell& other);
  [[nodiscard]] bool empty() const {
    return (delivered | hard | soft | blocked | expired | deferred | complained | unsubscribed |
            suppressed) == 0;
  }
  [[nodiscard]] std::uint64_t failed() const { return hard + soft + blocked; }
  [[nodiscard]] std::uint64_t sent() const { return delivered + failed(); }
  /// bounced / sent x 100; 0 when nothing was sent.
  [[nodiscard]] double bounce_percent() const;
};

/// Stored form of a Cell; versioned.
void encode(const Cell& cell, std::string& out);
Result<Cell> decode(std::string_view bytes);

struct Row {
  Dimension dimension = Dimension::total;
  std::uint32_t hour = 0;  ///< hours since 1970 UTC
  /// Names id: domain, sender and mta in Dictionary::domain, the others in their own one; cause:
  /// the Cause. 0 = all (total), unknown, or other: what is over keys_per_hour_max.
  std::uint32_t key = 0;
  std::uint32_t key2 = 0;  ///< cause of domain_cause and campaign_cause
  Cell cell;
};

struct Options {
  std::uint32_t keys_per_hour_max = 200'000;  ///< per dimension; the rest counts under key 0
};

/// Apply thread only. Memory: hours older than the newest two (as last touched) are forgotten once
/// committed; touched again, they are read from the store first. passing_bytes() asks for a cut.
///
/// Invariants: cells are stored as absolute values, so that a cut is idempotent; whether a key gets
/// its own cell depends on the cells of that hour alone, never on cuts or restarts; per event, the
/// cells of domain, sender, campaign, stream and tenant each take it exactly once, so each of these
/// dimensions sums up to total.
class Rates {
 public:
  Rates(store::Names& names, Options options);
  ~Rates();
  Result<void> open(const store::Store* store);
  /// `counted` as States::apply filled it: only counted events change rates.
  Result<void> apply(const Batch& batch, std::span<Event* const> events,
                     const std::vector<std::uint8_t>& counted);
  /// The same in parts, as States has it.
  void begin(const Batch& batch, std::size_t events);
  Result<void> part(const Batch& batch, std::span<Event* const> events, std::size_t from,
                    std::size_t to, const std::vector<std::uint8_t>& counted);
  void end();
  /// Cells changed since the last call.
  void append_to(store::WriteSet& set);
  /// The write that took the last append_to() has returned; only now may hours be forgotten.
  void committed();
  [[nodiscard]] std::size_t dirty_records() const;
  /// About the memory of the hours there are, when they are more than usual.
  [[nodiscard]] std::size_t passing_bytes() const;
  [[nodiscard]] const Cell& total() const;  ///< since start of this process

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Where the MTA dimension counts an answering host: its last two labels, three under a known
/// two-label public suffix ("mx1.mail.example.co.uk" -> "example.co.uk"); addresses stay whole.
std::string_view mta_suffix(std::string_view lower_case_host);

/// Reads stored cells of one dimension with hour_from <= hour < hour_to, in key order (hour first).
Result<void> read(const store::Store& store, Dimension dimension, std::uint32_t hour_from,
                  std::uint32_t hour_to, const std::function<void(const Row&)>& visit);

}  // namespace bounced::rates
