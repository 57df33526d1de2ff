// States: what a cut must write.
#include <algorithm>
#include <cstring>

#include "base/prefetch.h"
#include "state/states_impl.h"
#include "store/varint.h"

namespace bounced::state {
namespace {

using store::Family;

/// A value in the making: no record is longer than its buffer.
struct Value {
  char bytes[96];
  char* end = bytes;
  void byte(unsigned v) { *end++ = static_cast<char>(v); }
  void number(std::uint64_t v) {
    for (; v >= 0x80; v >>= 7) byte(static_cast<unsigned>(v & 0x7f) | 0x80);
    byte(static_cast<unsigned>(v));
  }
  void record(const BlockRecord& b) {
    byte(static_cast<unsigned>(b.kind) | static_cast<unsigned>(b.scope) << 4);
    number(b.cause);
    number(store::zigzag(b.since_us));
    number(store::zigzag(b.until_us));
    number(b.scope_id);
    number(b.actor);
  }
  [[nodiscard]] std::string_view view() const {
    return {bytes, static_cast<std::size_t>(end - bytes)};
  }
};

bool read_record(std::string_view& in, BlockRecord& b) {
  std::uint64_t v = 0;
  if (in.empty()) return false;
  const auto what = static_cast<std::uint8_t>(in[0]);
  in.remove_prefix(1);
  if ((what & 15) >= kBlockKinds || what >> 4 > 3) return false;
  b.kind = static_cast<BlockKind>(what & 15);
  b.scope = static_cast<BlockScope>(what >> 4);
  if (!store::read_varint(in, v) || v > UINT16_MAX) return false;
  b.cause = static_cast<std::uint16_t>(v);
  if (!store::read_varint(in, v)) return false;
  b.since_us = store::unzigzag(v);
  if (!store::read_varint(in, v)) return false;
  b.until_us = store::unzigzag(v);
  for (std::uint32_t* id : {&b.scope_id, &b.actor}) {
    if (!store::read_varint(in, v) || v > UINT32_MAX) return false;
    *id = static_cast<std::uint32_t>(v);
  }
  return true;
}

}  // namespace

/// by_block: BlockKind byte + key in CF address -> the block (the strictest of that kind).
void States::Impl::index_block(const AddressId& id, bool domain, BlockKind kind) {
  char key[18];
  key[0] = static_cast<char>(kind);
  const std::string_view k{key, 1 + address_key(id, domain, key + 1)};
  for (const BlockRecord& b : state.blocks) {
    if (b.kind != kind || (kind == BlockKind::unsubscribe && b.until_us != 0)) continue;
    Value value;
    value.byte(1);
    value.record(b);
    return pending.put(Family::by_block, k, value.view());
  }
  pending.erase(Family::by_block, k);
}

void States::Impl::publish(const AddressId& id, bool domain, const Decision& decision) {
  unsigned kinds = 0;
  for (const BlockChange& change : decision.changes) {
    counts.blocks_begun += change.action == BlockChange::Action::block;
    counts.blocks_ended += change.action == BlockChange::Action::unblock;
    kinds |= 1u << static_cast<unsigned>(change.record.kind);
    const std::uint64_t number = __builtin_bswap64(++seq);
    char key[sizeof number];
    std::memcpy(key, &number, sizeof number);
    Value value;
    value.byte(1);
    value.end += address_key(id, false, value.end);
    value.byte((domain ? 1u : 0u) | static_cast<unsigned>(change.action) << 1);
    value.number(store::zigzag(change.time_us));
    value.record(change.record);
    pending.put(Family::changes, {key, sizeof key}, value.view());
  }
  for (unsigned kind = 1; kind < kBlockKinds; ++kind) {
    if ((kinds >> kind & 1) != 0) index_block(id, domain, static_cast<BlockKind>(kind));
  }
  // `dues` holds the ends that were due before.
  for (const BlockRecord& b : state.blocks) {
    if (b.until_us == 0 || b.kind == BlockKind::unsubscribe) continue;
    const DueEntry entry{b.until_us, id, domain, b.kind};
    const auto it = std::find_if(dues.begin(), dues.end(), [&](const DueEntry& d) {
      return d.time_us == entry.time_us && d.kind == entry.kind;
    });
    if (it == dues.end()) {
      due.add(entry, pending);
    } else {
      dues.erase(it);
    }
  }
  for (const DueEntry& gone : dues) {
    if (gone.kind != BlockKind::unsubscribe) due.remove(gone, pending);
  }
  view.set(id, block_word(standing_block(state)));
}

void States::append_to(store::WriteSet& set) {
  Impl& m = *impl_;
  char key[18];
  for (std::size_t i = 0; i < m.dirty.size(); ++i) {
    if (i + 8 < m.dirty.size()) {
      const char* ahead = reinterpret_cast<const char*>(m.dirty[i + 8]);
      bounced::prefetch(ahead);
      bounced::prefetch(ahead + 64);
    }
    Entry* entry = m.dirty[i];
    const std::size_t size = address_key(entry->id(), entry->domain(), key);
    set.put(Family::address, {key, size}, entry->view());
  }
  m.dirty.clear();
  set.take(m.pending);
  m.around.append_to(set);
  if (m.seq != m.seq_written) {
    std::string value;
    store::append_u64_be(value, m.seq);
    set.put(Family::meta, "state/seq", value);
    m.seq_written = m.seq;
  }
  m.due.in_flight();
  m.flying_epoch = m.epoch++;
}

void States::committed() {
  Impl& m = *impl_;
  m.clean_epoch = m.flying_epoch;
  m.stuck_epoch = 0;
  m.due.committed();
}

std::size_t States::dirty_records() const {
  const Impl& m = *impl_;
  return m.dirty.size() + m.pending.records() + m.around.dirty_records();
}

std::size_t States::dirty_bytes() const {
  const Impl& m = *impl_;
  constexpr std::size_t kAboutAState = 128;
  return m.dirty.size() * kAboutAState + m.pending.bytes();
}

Result<Change> decode_change(std::string_view key, std::string_view value) {
  Change c;
  std::uint64_t v = 0;
  const auto bad = [] {
    return fail(ErrorCode::data, "changes", "", "malformed record",
                "restore the store from a backup");
  };
  if (key.size() != 8 || value.size() < 18 || value[0] != 1) return bad();
  c.seq = store::read_u64_be(key.data());
  c.id = store::read_id(value.data() + 1);
  const auto what = static_cast<std::uint8_t>(value[17]);
  if (what >> 1 > 2) return bad();
  c.domain = (what & 1) != 0;
  c.change.action = static_cast<BlockChange::Action>(what >> 1);
  value.remove_prefix(18);
  if (!store::read_varint(value, v)) return bad();
  c.change.time_us = store::unzigzag(v);
  if (!read_record(value, c.change.record) || !value.empty()) return bad();
  return c;
}

}  // namespace bounced::state
