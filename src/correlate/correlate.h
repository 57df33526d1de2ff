// correlate: joins by queue id what other lines told, in source order.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/batch.h"
#include "bounced/limits.h"
#include "bounced/result.h"
#include "store/names.h"
#include "store/store.h"
#include "store/write_set.h"

namespace bounced::correlate {

/// [[stream]]: first match wins; every non-empty list must match, any of its entries does.
struct StreamRule {
  std::string name;
  std::string tenant;
  std::vector<std::string> sasl_users;
  std::vector<std::string> sender_domains;
  std::vector<std::string> instances;  ///< syslog instance ("postfix-bulk")
  std::vector<std::string> campaigns;
};

struct Options {
  std::vector<StreamRule> streams;
  std::size_t entries_max = limits::kOpenMessagesMax;
  /// Verdict of an expiry whose attempts were never seen (network.expired).
  Verdict expired;
};

/// How far a batch has been taken; notes and events advance together in line order.
struct Cursor {
  std::uint32_t event = 0;
  std::uint32_t note = 0;
};

/// Open messages by queue key. Single-threaded (the apply thread). Deterministic: depends on the
/// records and their order only, never on cuts or the clock.
class Correlator {
 public:
  Correlator(Options options, store::Names& names);
  ~Correlator();

  /// Another Options::expired, of rules that were loaded meanwhile.
  void set_expired(const Verdict& expired);

  /// Messages that were open at the last cut.
  Result<void> load(const store::Store& store);

  /// Takes the records of `batch` from `cursor` on while their time (already UTC) is <= until_us;
  /// appends to `out`, in order, pointers to the batch's events, enriched in place (sender,
  /// message id, campaign, stream, tenant, message fingerprint), and to events it synthesised
  /// (expiries, in batch.synthesised with their verdicts set).
  void apply(Batch& batch, Cursor& cursor, std::int64_t until_us, std::vector<Event*>& out);

  /// apply() of a whole batch whose times are not yet UTC, but need only `add_us` added to be: does
  /// both, and knows that messages which begin and end within the batch (Batch::local) need no
  /// entry. Calls prepare() where that was not done, or with another `add_us`. False, and nothing
  /// was done, when the batch must be taken by apply(): parse has not joined it, a new hour begins
  /// in it, or the table is almost full.
  bool apply_joined(Batch& batch, std::int64_t add_us, std::vector<Event*>& out);

  /// Entries changed since the last call: puts for those alive, deletes for those gone.
  void append_to(store::WriteSet& set);

  /// Not well once a message that was left to the store alone could not be read back; the caller
  /// stops, as after a failed commit.
  [[nodiscard]] const Result<void>& status() const;

  struct Stats {
    std::uint64_t open = 0, evicted = 0, expired_events = 0, expired_unmatched = 0;
    std::uint64_t enriched = 0, not_enriched = 0, mx_failures = 0;
    std::uint64_t spilled = 0;  ///< open messages that live in the store alone now
  };
  [[nodiscard]] Stats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The part of Correlator::apply_joined() that knows nothing of other batches, for any thread ahead
/// of the batch's turn: the times of its events become UTC by `add_us`, which may be a guess; whole
/// messages of Batch::local give their events what their notes told. Once more with another
/// `add_us`: corrects. For batches that parse has joined, and whose times are of one form.
void prepare(Batch& batch, std::int64_t add_us);
/// Undoes prepare(), if it was done: events are as parsed, as Correlator::apply() wants them.
void take_back(Batch& batch);

/// Bytes that stand for a record of Family::open in a digest: the same for equal messages in stores
/// with other secrets and other rule numbers. Errors: data.
Result<std::string> logical_open(std::string_view key, std::string_view value);

}  // namespace bounced::correlate
