// state: address and domain states in RAM, what they decide, and what a cut must write.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/batch.h"
#include "bounced/policy.h"
#include "bounced/result.h"
#include "state/address_state.h"
#include "state/decide.h"
#include "store/names.h"
#include "store/store.h"
#include "store/write_set.h"

namespace bounced::state {

/// preset "default" and rules/policy.toml compiled in; `file` replaces it. Errors name file:line.
/// `causes`: all that the rules know; custom ones may have a row, else they take a built-in's.
Result<Policy> load_policy(const std::string& file = {}, std::span<const CauseInfo> causes = {});

/// Key of the provider that answers as this host (its registrable part); never 0. For
/// Batch::providers.
std::uint64_t provider_key(std::string_view mx_host);

/// What the event itself tells decide(); names and surroundings are added by States.
Fact fact_of(const Batch& batch, const Event& event, const Verdict& verdict);

/// The published answer for lookups: address id -> block word. Readers take no lock.
/// word: 0 = mail may go. Bits: 0-7 BlockKind, 8-15 BlockScope of the strictest live block,
/// 16-31 cause, 32-63 until in seconds (0 = no end).
class BlockView {
 public:
  BlockView();
  ~BlockView();
  /// Any thread. `complete` false = still loading: ask the store when the word is 0.
  [[nodiscard]] std::uint64_t word(const AddressId& id) const;
  [[nodiscard]] bool complete() const { return complete_.load(std::memory_order_acquire); }
  [[nodiscard]] std::uint64_t size() const;
  // Writer only (apply thread):
  /// Sends for the place that set() will write.
  void prefetch(const AddressId& id) const;
  void set(const AddressId& id, std::uint64_t word);
  /// From the background scan: never over what set() has said since.
  void set_if_absent(const AddressId& id, std::uint64_t word);
  [[nodiscard]] std::size_t bytes() const;
  void set_complete() { complete_.store(true, std::memory_order_release); }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::atomic<bool> complete_{false};
};
std::uint64_t block_word(const BlockRecord& record);

/// The server's own words, and what we made of them.
struct Evidence {
  std::int64_t time_us = 0;
  EventKind kind = EventKind::none;
  Verdict verdict;
  std::string rule;  ///< rule id text at the time
  std::uint16_t smtp_code = 0;
  EnhancedCode enhanced;
  Phase phase = Phase::none;
  std::uint8_t flags = 0;
  std::uint32_t source = 0;
  std::uint64_t offset = 0;
  std::uint32_t delay_ms = 0;
  std::uint16_t mta_port = 0;
  std::uint16_t tenant = 0, stream = 0;  ///< Names ids
  std::uint8_t format = UINT8_MAX;       ///< as Event::format; UINT8_MAX = not known
  ProviderHint hint = ProviderHint::none;
  std::string queue_id, message_id, sender, mta_host, mta_ip, diagnostic, campaign, sending_ip;
};
Result<Evidence> decode_evidence(std::string_view bytes);

/// One record of CF changes.
struct Change {
  std::uint64_t seq = 0;
  AddressId id;
  bool domain = false;
  BlockChange change;
};
Result<Change> decode_change(std::string_view key, std::string_view value);

struct Options {
  std::size_t table_bytes = std::size_t{4} << 30;             ///< bound of the RAM table
  std::function<std::string_view(const Verdict&)> rule_name;  ///< for evidence
  /// open() waits so long for the background scan: a small store is complete when it returns.
  std::int64_t open_wait_us = 300'000;
};

/// Counted per apply; the basis of summaries.
struct Counts {
  std::uint64_t by_kind[kEventKinds] = {};
  std::uint64_t duplicates = 0;
  std::uint64_t hard = 0, soft = 0, blocked = 0;  ///< of final failures, by class
  std::uint64_t blocks_begun = 0, blocks_ended = 0;
};

/// All address and domain states. One thread (apply) calls everything but view().
class States {
 public:
  States(const Policy& policy, store::Names& names, Options options);
  ~States();

  /// From now on; what was decided stays as it is.
  void set_policy(const Policy& policy);

  /// Takes up what the store holds; states are fetched when first needed, while a background scan
  /// fills filter, table and BlockView. nullptr = no store (parse only): everything in RAM.
  Result<void> open(const store::Store* store);
  /// Waits for the background scan: stats() and view() are whole then.
  Result<void> wait_complete();
  /// The store is about to close: ends the background scan. Nothing else may be called afterwards.
  void close();

  /// Applies events of one batch in order; sets `Event::...` nothing. `counted[i]` (when given)
  /// tells whether events[i] counted (false: duplicate, relayed, suppressed, ...), for rates.
  Result<void> apply(const Batch& batch, std::span<Event* const> events,
                     std::vector<std::uint8_t>* counted);
  /// The same in parts, so that rates may take each while its events are near: begin(), part() for
  /// [from, to) of the same `events` one after the other, end(). `counted` is as large as `events`.
  Result<void> begin(const Batch& batch, std::span<Event* const> events);
  void part(const Batch& batch, std::span<Event* const> events, std::size_t from, std::size_t to,
            std::vector<std::uint8_t>& counted);
  Result<void> end();
  /// Fires due entries up to the watermark (event time; the daemon's Clock), but at most
  /// kTickEntries of them: true when there may be more. (After months without the daemon, a million
  /// blocks end at once; events go on between them.)
  Result<bool> tick(std::int64_t watermark_us);
  static constexpr std::size_t kTickEntries = 2048;

  struct Command {
    enum class Kind : std::uint8_t { block, unblock } kind = Kind::block;
    std::string address;            ///< or a domain
    bool domain = false;            ///< `address` is one
    BlockRecord record;             ///< for block
    std::uint32_t kind_mask = ~0u;  ///< for unblock: bit per BlockKind
    std::vector<BlockRecord> only;  ///< for unblock: no others, unless it is empty
    std::int64_t time_us = 0;
    std::uint32_t actor = 0;
  };
  /// True when something changed.
  Result<bool> command(const Command& command);

  /// Everything dirty since the last call. Until committed() none of it may be evicted.
  void append_to(store::WriteSet& set);
  /// The write that took the last append_to() has returned.
  void committed();
  [[nodiscard]] std::size_t dirty_records() const;
  [[nodiscard]] std::size_t dirty_bytes() const;

  [[nodiscard]] const BlockView& view() const;
  /// From RAM or store; nullopt = nothing known. Apply thread.
  Result<std::optional<AddressState>> find(const AddressId& id);
  Result<std::optional<AddressState>> find_domain(const AddressId& id);

  [[nodiscard]] const Counts& counts() const;
  struct Stats {
    std::uint64_t addresses = 0;  ///< with a state, in RAM and store
    std::uint64_t addresses_ram = 0, table_bytes = 0, evictions = 0, cold_fetches = 0;
    std::uint64_t domains = 0, blocked = 0;
    std::uint64_t last_seq = 0;
    bool complete = false;  ///< the background scan is done
  };
  [[nodiscard]] Stats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bounced::state
