// States: what comes from the store, and what may stay in RAM.
#include <algorithm>
#include <cstring>

#include "base/clock.h"
#include "state/states_impl.h"

namespace bounced::state {
namespace {

constexpr std::size_t kEvictAtOnce = 64;
constexpr std::string_view kSeqKey = "state/seq";

}  // namespace

std::size_t address_key(const AddressId& id, bool domain, char* out) {
  const std::uint64_t words[2] = {__builtin_bswap64(id.hi), __builtin_bswap64(id.lo)};
  std::memcpy(out, words, sizeof words);
  out[16] = 'D';
  return domain ? 17 : 16;
}

Result<void> States::Impl::open(const store::Store* s) {
  store = s;
  due.open(s);
  if (s == nullptr) {
    view.set_complete();
    return {};
  }
  hasher = AddressHasher(s->secret(), AddressOptions{s->fold_local_part()});
  const auto seq_value = s->get(store::Family::meta, kSeqKey);
  if (!seq_value) return tl::unexpected<Error>(seq_value.error());
  if (*seq_value) {
    if ((*seq_value)->size() != 8) {
      return fail(ErrorCode::data, "open", s->directory(), "malformed state/seq in meta",
                  "restore the store from a backup");
    }
    seq = seq_written = store::read_u64_be((*seq_value)->data());
  }
  if (auto loaded = around.load(*s); !loaded) return loaded;
  filter.reserve(s->approximate_keys(store::Family::address));
  scan = std::make_unique<Scan>();
  scanning = true;
  scan->start(*s);
  const std::int64_t end = monotonic_us() + options.open_wait_us;
  while (scanning && monotonic_us() < end) {
    if (auto drained = drain(1, end - monotonic_us()); !drained) return drained;
  }
  return {};
}

Result<void> States::Impl::drain(std::size_t chunks, std::int64_t wait_us) {
  if (!scanning) return {};
  Scan::Chunk chunk;
  for (; chunks > 0; --chunks) {
    const auto got = scan->take(chunk, wait_us);
    if (!got) return tl::unexpected<Error>(got.error());
    if (!*got) break;
    for (const Scan::Item& item : chunk.items) {
      take_scanned(item.id, item.domain, {chunk.bytes.data() + item.offset, item.size});
      scan_pos = item.id;
    }
  }
  if (scan->done()) {
    scanning = false;
    scan.reset();
    view.set_complete();
    store->allow_compactions();
  }
  return {};
}

void States::Impl::take_scanned(const AddressId& id, bool domain, std::string_view value) {
  ++(domain ? domains : addresses);
  const bool here = table.find(id) != nullptr;
  if (!here) {
    if (!spilled && value.size() <= Table::kBytesMax && EncodedHead::valid(value) &&
        table.put(id, value, domain, false) != nullptr) {
      // Clean: its epoch is 0.
    } else {
      spilled = true;
      filter.add(id);
    }
  }
  if (!here) publish_stored(id, value);
}

/// The block of a state that was read from the store, unless apply has said something since.
void States::Impl::publish_stored(const AddressId& id, std::string_view value) {
  if (value.size() < EncodedHead::kSizeMin || value[3] == 0 || !decode_into(value, state)) return;
  view.set_if_absent(id, block_word(standing_block(state)));
}

/// What a miss in RAM has found in the store. While the scan runs it brings the block with it: the
/// scan will skip what is in the table. Null, and `error`, when it is damaged.
Entry* States::Impl::take_cold(const AddressId& id, bool domain, std::string_view value) {
  ++cold_fetches;
  if (value.size() > Table::kBytesMax || !EncodedHead::valid(value)) {
    malformed();
    return nullptr;
  }
  if (scanning) publish_stored(id, value);
  return put(id, value, domain);
}

void States::Impl::set_bound() {
  const std::size_t fixed = table.slot_bytes() + filter.bytes();
  const std::size_t rest = options.table_bytes > fixed ? options.table_bytes - fixed : 0;
  table.set_chunks_max(std::max<std::size_t>(1, rest / Table::kChunkBytes));
}

/// Evicts a few clean entries; false when there are none in this cut.
bool States::Impl::make_room() {
  if (store == nullptr || stuck_epoch == epoch) return false;
  spilled = true;
  const auto gone = [this](Entry& entry) {
    filter.add(entry.id());
    ++evictions;
    forget_domains();
  };
  // Twice round: the first takes away the second chances.
  const std::size_t all = table.blocks() * 2 + 1;
  const std::size_t went = table.evict(kEvictAtOnce, all, clean_epoch, gone);
  if (went == 0) stuck_epoch = epoch;
  set_bound();
  return went != 0;
}

Entry* States::Impl::put(const AddressId& id, std::string_view value, bool domain) {
  const std::size_t before = table.size();
  Entry* entry = table.put(id, value, domain, false);
  while (entry == nullptr) {
    // The entry itself may be evicted here: its bytes are in `value`, but its place in the dirty
    // list is not, hence only clean ones go.
    const bool room = make_room();
    entry = table.put(id, value, domain, !room);
  }
  if (table.size() > before && entry->epoch == 0) entry->set(Entry::kReferenced);
  if (!domain) know(id);
  return entry;
}

/// One MultiGet for all ids of the events that are not in RAM and may be in the store.
Result<void> States::Impl::fetch_cold(std::span<Event* const> events) {
  wanted.clear();
  for (const Event* e : events) {
    if (table.find(e->recipient_id) == nullptr && needs_store(e->recipient_id)) {
      wanted.push_back({e->recipient_id, false});
    }
    if (table.find(e->domain_id) == nullptr && needs_store(e->domain_id)) {
      wanted.push_back({e->domain_id, true});
    }
  }
  return fetch_wanted();
}

/// The same for what is due.
Result<void> States::Impl::fetch_cold(std::span<const DueEntry> entries) {
  wanted.clear();
  for (const DueEntry& e : entries) {
    if (table.find(e.id) == nullptr && needs_store(e.id)) wanted.push_back({e.id, e.domain});
  }
  return fetch_wanted();
}

Result<void> States::Impl::fetch_wanted() {
  absent.clear();
  if (wanted.empty()) return {};
  const auto less = [](const Wanted& a, const Wanted& b) { return a.id < b.id; };
  const auto equal = [](const Wanted& a, const Wanted& b) { return a.id == b.id; };
  std::sort(wanted.begin(), wanted.end(), less);
  wanted.erase(std::unique(wanted.begin(), wanted.end(), equal), wanted.end());
  std::vector<char> room(wanted.size() * 17);
  std::vector<std::string_view> keys;
  keys.reserve(wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    char* key = room.data() + i * 17;
    keys.emplace_back(key, address_key(wanted[i].id, wanted[i].domain, key));
  }
  std::vector<std::optional<std::string>> values;
  if (auto got = store->multi_get(store::Family::address, keys, values); !got) return got;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!values[i]) {
      absent.push_back(wanted[i].id);
      continue;
    }
    take_cold(wanted[i].id, wanted[i].domain, *values[i]);
  }
  return {};
}

Entry* States::Impl::find_cold(const AddressId& id, bool domain) {
  if (!needs_store(id)) return nullptr;
  // Evicted since this batch's MultiGet, or asked for outside of a batch.
  if (std::binary_search(absent.begin(), absent.end(), id)) return nullptr;
  char key[17];
  const auto value = store->get(store::Family::address, {key, address_key(id, domain, key)});
  if (!value) {
    if (!error) error = value.error();
    return nullptr;
  }
  if (!*value) return nullptr;
  return take_cold(id, domain, **value);
}

}  // namespace bounced::state
