// The inside of States, shared by states.cc (events), states_ahead.cc (what they will look at),
// states_load.cc (store -> RAM) and states_commit.cc (RAM -> WriteSet).
//
// Why a miss in RAM may be believed. Every id of the store is in exactly one of three classes:
//  (a) in the table; (b) in the filter; (c) not yet seen by the scan (id > scan_pos_).
// needs_store() is true for (b) and (c), so a miss that it denies is no id of the store.
//  - The scan reads one snapshot, taken at open. A scanned id that is in the table is skipped: what
//    is there is as new or newer (resident wins over scanned).
//  - Once anything has been evicted (or did not fit), the scan no longer fills the table, only the
//    filter: an evicted entry may be newer than the snapshot and must be read from the store.
//  - Only clean entries are evicted: their last change is in a cut whose write has returned.
//  - An evicted id goes into the filter, which never forgets.
// The BlockView obeys the same: apply's word, even an explicit 0, wins over the scan's; a state
// that comes from the store before its turn in the scan brings its word with it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/prefetch.h"
#include "base/time.h"
#include "state/due.h"
#include "state/evidence.h"
#include "state/filter.h"
#include "state/scan.h"
#include "state/state.h"
#include "state/surroundings.h"
#include "state/table.h"

namespace bounced::state {

inline std::int64_t hour_floor(std::int64_t time_us) {
  return time_us - time_us % kHourUs;
}

struct States::Impl {
  Impl(const Policy& p, store::Names& n, Options o);

  // --- states.cc
  /// Whether the event counts for rates.
  bool apply_one(const Batch& batch, const Event& event, bool no_state);
  bool count_plain(const Event& event);
  void make_ready(const Event& event, Provider& provider, SendingHost& host);
  void delivered(const Batch& batch, const Event& event, bool no_state);
  void domain_delivered(const Batch& batch, const Event& event);
  void find_domain(const Batch& batch, const Event& event);
  void new_domain(const Batch& batch, const Event& event, std::int64_t hour_us);
  void decide_delivery(const AddressId& id, bool domain, const Event& event);
  bool failing(const Batch& batch, const Event& event);
  bool deferred(const Batch& batch, const Event& event, const Verdict& verdict, Entry* entry);
  bool other(const Batch& batch, const Event& event);
  void fire(const DueEntry& entry);
  Fact fact_of(const Batch& batch, const Event& event, const Verdict& verdict);
  void surround(const Batch& batch, const Event& event, const Verdict& verdict, Fact& fact);
  Decision decide_one(const AddressId& id, bool domain, std::string_view text, const Fact& fact,
                      const Verdict& verdict, const Batch* batch, const Event* event);
  SendingHost& host_of(const Batch& batch, const Event& event);
  /// After a decision about state_: writes it back, notes what a cut needs, publishes the word.
  void finish(const AddressId& id, bool domain, const Decision& decision);
  void put_bytes(const AddressId& id, bool domain, Entry* entry);
  [[nodiscard]] std::string_view rule_of(const Verdict& verdict) const {
    return options.rule_name ? options.rule_name(verdict) : std::string_view{};
  }
  Provider& provider_of_event(const Batch& batch, const Event& event) {
    const ListedHost& listed = listed_hosts[event.host];
    if (listed.call == call && listed.provider != nullptr && listed.provider->key == listed.key)
        [[likely]] {
      return *listed.provider;
    }
    Provider& provider = find_provider(batch, event);
    see_replaced();
    return provider;
  }
  void see_replaced() {
    if (replaced == around.replaced()) return;
    replaced = around.replaced();
    ++ready;
  }
  Provider& find_provider(const Batch& batch, const Event& event);
  bool count_in_place(const Event& event, Entry* entry);
  void count_at_domain(const Event& event, Entry* entry);
  void count_at_address(const Event& event, Entry* entry);
  /// The state of the event's domain changes: what the lists know of it is out of date.
  void forget_listed(const Event& event) {
    listed_domains[event.domain].call = 0;
    ready_domains[event.domain].stamp = 0;
    if (event.domain == 0) forget_domains();  // whichever it is on the list
  }
  void forget_domains() {
    ++domain_call;
    ++ready;
  }
  /// Before anything counts at a provider or a sending host: that may begin another hour there.
  void enter_hour(std::int64_t time_us) {
    if (in_ready_hour(time_us)) return;
    ready_hour_us = hour_floor(time_us);
    ++ready;
  }
  [[nodiscard]] bool in_ready_hour(std::int64_t time_us) const {
    return static_cast<std::uint64_t>(time_us) - static_cast<std::uint64_t>(ready_hour_us) <
           static_cast<std::uint64_t>(kHourUs);
  }
  void publish(const AddressId& id, bool domain, const Decision& decision);
  void add_evidence(const AddressId& id, std::uint8_t slot, const Batch& batch, const Event& event,
                    const Verdict& verdict);
  void index_block(const AddressId& id, bool domain, BlockKind kind);
  /// state_ of the id; a new, empty one when there is none.
  Entry* load(const AddressId& id);
  void malformed();
  void clear_state();

  // --- states_ahead.cc
  static constexpr std::size_t kGroup = 16;  ///< events that are looked up together
  void begin_call(const Batch& batch, std::size_t events);
  void find_listed_hosts(const Batch& batch);
  void find_listed_domains(const Batch& batch);
  void look_ahead(const Batch& batch, std::span<Event* const> events, std::size_t begin,
                  std::size_t end);
  /// Sends for an event two groups ahead (a batch was written on other cores), and for the slot of
  /// a recipient one group ahead: between the events of the group, for a core can wait for some
  /// twenty lines at a time.
  void prefetch_ahead(std::size_t i) const {
    if (i < near.size()) table.prefetch_slot(near[i]->recipient_id);
    if (i < far.size()) prefetch_lines(far[i], sizeof(Event));
  }
  void prefetch_domain(const Batch& batch, const Event& event) const;
  void prefetch_words(const Batch& batch, const Event& event) const;
  /// False: the id is neither in RAM nor in the store. True: perhaps; its entry is sent for.
  [[nodiscard]] bool may_be_known(const AddressId& id) const {
    return id.hi == 0 || table.prefetch_entry(id) || (cold_possible() && needs_store(id));
  }
  void know(const AddressId& id);
  /// A domain without failures and blocks.
  static bool quiet(Entry& entry) { return entry.bytes()[2] == 0 && entry.bytes()[3] == 0; }

  // --- states_load.cc
  Result<void> open(const store::Store* s);
  Result<void> drain(std::size_t chunks, std::int64_t wait_us);
  void take_scanned(const AddressId& id, bool domain, std::string_view bytes);
  void publish_stored(const AddressId& id, std::string_view value);
  Entry* take_cold(const AddressId& id, bool domain, std::string_view value);
  [[nodiscard]] bool needs_store(const AddressId& id) const {
    return (scanning && scan_pos < id) || filter.maybe(id);
  }
  [[nodiscard]] bool cold_possible() const { return scanning || !filter.empty(); }
  Result<void> fetch_cold(std::span<Event* const> events);
  Result<void> fetch_cold(std::span<const DueEntry> entries);
  Result<void> fetch_wanted();
  Entry* find_entry(const AddressId& id, bool domain) {
    Entry* entry = table.find(id);
    return entry != nullptr || !cold_possible() ? entry : find_cold(id, domain);
  }
  Entry* find_cold(const AddressId& id, bool domain);
  Entry* put(const AddressId& id, std::string_view bytes, bool domain);
  bool make_room();
  void set_bound();
  /// The bytes of an entry have changed in their place.
  void mark_dirty(Entry* entry) {
    if (entry->epoch == epoch) return;
    entry->epoch = epoch;
    entry->dirty = static_cast<std::uint32_t>(dirty.size());
    dirty.push_back(entry);
  }
  /// The same where the entry may have moved.
  void mark_moved(Entry* entry) {
    if (entry->epoch == epoch) {
      dirty[entry->dirty] = entry;
    } else {
      mark_dirty(entry);
    }
  }

  Policy policy;
  store::Names& names;
  Options options;
  AddressHasher hasher;
  const store::Store* store = nullptr;

  Table table;
  Filter filter;
  BlockView view;
  Due due;
  Surroundings around;
  std::unique_ptr<Scan> scan;
  bool scanning = false;
  bool spilled = false;  ///< something was evicted or did not fit
  AddressId scan_pos;    ///< last id the scan has handed over
  std::optional<Error> error;

  std::vector<Entry*> dirty;
  std::uint32_t epoch = 1, flying_epoch = 0, clean_epoch = 0;
  std::uint32_t stuck_epoch = 0;  ///< epoch in which nothing evictable was found
  store::WriteSet pending;        ///< evidence, by_block, due, changes
  std::uint64_t seq = 0, seq_written = 0;

  // Scratch, kept for its capacity.
  AddressState state;
  bool known = false;            ///< state was there before this decision
  std::int64_t held_before = 0;  ///< AddressState::held_until_us then: there is a due entry of it
  const Revision* revision = nullptr;  ///< of the event whose turn it is
  std::string bytes;
  std::vector<DueEntry> dues;
  std::vector<DueEntry> dues_ahead;
  struct Wanted {
    AddressId id;
    bool domain;
  };
  std::vector<Wanted> wanted;
  std::vector<AddressId> absent;    ///< asked for this batch and not in the store; sorted
  std::vector<SendingHost*> hosts;  ///< by origin of this batch

  // What the short lists of the batch in work stand for, looked up once per call of apply(): valid
  // when `call` is the number of this call.
  struct ListedDomain {
    std::uint64_t call = 0;  ///< domain_call
    /// Null: known to have no failures, and a last delivery in hour_us or later: a delivery up to
    /// the end of that hour changes nothing.
    Entry* entry = nullptr;
    std::int64_t hour_us = 0;
  };
  struct ListedHost {
    std::uint64_t call = 0;
    std::uint64_t key = 0;         ///< of its provider
    Provider* provider = nullptr;  ///< its place, if that still has the key
  };
  std::uint64_t call = 0;
  /// Grows also when an entry is evicted: they are pointed at.
  std::uint64_t domain_call = 0;
  std::vector<ListedDomain> listed_domains;
  std::vector<ListedHost> listed_hosts;

  // What a plain delivery needs: its host's and its origin's counters are those of the hour
  // `ready_hour_us` and dirty, its domain has failures (and so an entry that counts) or is quiet up
  // to the end of that hour (none). Each as long as its stamp is `ready`, which grows with each
  // call, with another hour, and when anything may have taken the place of what is pointed at.
  template <class T>
  struct Ready {
    std::uint64_t stamp = 0;
    T* counters = nullptr;
  };
  std::uint64_t ready = 0;
  std::int64_t ready_hour_us = 0;
  std::uint64_t replaced = 0;                     ///< as Surroundings::replaced()
  std::vector<Ready<Provider>> ready_providers;   ///< by Event::host; [0] never
  std::vector<Ready<SendingHost>> ready_origins;  ///< by Event::origin
  std::vector<Ready<Entry>> ready_domains;        ///< by Event::domain; [0] never
  std::vector<Entry*> guesses;                    ///< scratch: of the batch's domains
  // The group of events that has been looked up together.
  std::span<Event*const> group, near, far;  ///< `near` are those behind it, `far` behind these
  std::size_t turn = 0;                     ///< whose it is, within the group
  std::uint32_t unknown = 0;  ///< bit n: nothing is known of the recipient of group[n]

  Counts counts;
  std::uint64_t addresses = 0, domains = 0, evictions = 0, cold_fetches = 0;
};

/// Key in CF address: 16 bytes for an address, 17 ('D' behind) for a domain.
std::size_t address_key(const AddressId& id, bool domain, char* out);

}  // namespace bounced::state
