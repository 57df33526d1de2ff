// Codec of AddressState. Equal states have equal bytes.
#include "state/address_state.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <memory>

#include "store/varint.h"

namespace bounced::state {
namespace {

using store::read_varint;
using store::unzigzag;
using store::zigzag;

// Optional parts of the tail.
constexpr std::uint8_t kTerms = 1, kCleared = 2, kLifted = 4, kLapsed = 8, kBase = 16, kDays = 32,
                       kHeld = 64, kPrior = 128;
constexpr std::size_t kTextBytesMax = 4096;

/// Writes into a buffer whose room was computed before: no check and no growth per byte.
struct Writer {
  char* p;
  void byte(unsigned v) { *p++ = static_cast<char>(v); }
  void number(std::uint64_t v) {
    while (v >= 0x80) {
      byte(static_cast<unsigned>(v & 0x7f) | 0x80);
      v >>= 7;
    }
    byte(static_cast<unsigned>(v));
  }
  template <class T>
  void fixed(T v) {
    std::memcpy(p, &v, sizeof v);
    p += sizeof v;
  }
};

template <class T>
T load(const char* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
void store_at(char* p, T v) {
  std::memcpy(p, &v, sizeof v);
}

// Differences wrap instead of overflowing: hostile times must survive, too.
std::uint64_t delta(std::int64_t v, std::int64_t from) {
  return zigzag(
      static_cast<std::int64_t>(static_cast<std::uint64_t>(v) - static_cast<std::uint64_t>(from)));
}
std::int64_t undelta(std::uint64_t d, std::int64_t from) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(unzigzag(d)) +
                                   static_cast<std::uint64_t>(from));
}

bool has_base(const AddressState& s) {
  return s.base.dead.count != 0 || s.base.soft.count != 0 || s.base.incident.count != 0;
}

bool streak_matters(const AddressState& s) {
  if (s.dead_terms != 0 || s.soft_terms != 0 || s.lapsed_us != 0 || !s.days.empty() ||
      has_base(s) || s.held_us != 0 || s.has_prior) {
    return true;
  }
  if (std::any_of(s.failures.begin(), s.failures.end(), [&](const FailureRecord& f) {
        return (f.flags & FailureRecord::kLate) != 0 && f.time_us > s.last_delivery_us;
      })) {
    return true;
  }
  return std::any_of(s.blocks.begin(), s.blocks.end(), [](const BlockRecord& b) {
    return b.kind == BlockKind::dead || b.kind == BlockKind::soft || b.kind == BlockKind::incident;
  });
}

void write_term(Writer& out, const Term& term, std::int64_t first) {
  out.number(term.count);
  if (term.count == 0) return;
  out.number(term.cause);
  out.number(delta(term.since_us, first));
  out.number(term.until_us == 0 ? 0 : 1 + delta(term.until_us, term.since_us));
}

void write_failure(Writer& out, const FailureRecord& f, std::int64_t before) {
  out.number(delta(f.time_us, before));
  out.fixed(f.message);
  out.number(f.position);
  out.number(f.source);
  out.number(f.cause);
  out.byte(f.confidence);
  out.byte(f.flags);
}

void write_block(Writer& out, const BlockRecord& b, std::int64_t first) {
  out.byte(static_cast<unsigned>(b.kind) | static_cast<unsigned>(b.scope) << 4);
  out.number(delta(b.since_us, first));
  out.number(b.until_us == 0 ? 0 : 1 + delta(b.until_us, b.since_us));
  out.number(b.scope_id);
  out.number(b.actor);
  out.number(b.cause);
}

/// The optional parts between totals and failures.
void write_optional(Writer& out, const AddressState& s) {
  const bool terms = s.dead_terms != 0 || s.soft_terms != 0;
  const bool base = has_base(s);
  out.byte((terms ? kTerms : 0u) | (s.cleared_us != 0 ? kCleared : 0u) |
           (s.lifted_us != 0 ? kLifted : 0u) | (s.lapsed_us != 0 ? kLapsed : 0u) |
           (base ? kBase : 0u) | (!s.days.empty() ? kDays : 0u) | (s.held_us != 0 ? kHeld : 0u) |
           (s.has_prior ? kPrior : 0u));
  if (terms) {
    out.byte(s.dead_terms);
    out.byte(s.soft_terms);
  }
  for (const std::int64_t t : {s.cleared_us, s.lifted_us, s.lapsed_us}) {
    if (t != 0) out.number(delta(t, s.first_us));
  }
  if (base) {
    for (const Term* t : {&s.base.dead, &s.base.soft, &s.base.incident}) {
      write_term(out, *t, s.first_us);
    }
  }
  if (s.held_us != 0) {
    out.number(delta(s.held_us, s.first_us));
    out.number(delta(s.held_until_us, s.held_us));
    out.fixed(s.held_message);
  }
  if (s.has_prior) {
    out.number(delta(s.prior_us, s.first_us));
    out.fixed(s.prior_message);
  }
  if (s.days.empty()) return;
  out.number(s.days.size());
  for (const FailureDays& d : s.days) {
    out.number(d.row);
    out.number(static_cast<std::uint32_t>(d.newest_day));
    out.fixed(d.bits);
  }
}

/// Upper bound of the encoded size.
std::size_t room_for(const AddressState& s) {
  return 290 + s.days.size() * 20 + s.failures.size() * 48 + s.blocks.size() * 40 +
         std::min(s.text.size(), kTextBytesMax);
}

/// Takes fields off the front; `ok` turns false at the first malformed one.
struct Input {
  std::string_view in;
  bool ok = true;

  std::uint64_t number(std::uint64_t max = ~std::uint64_t{0}) {
    if (ok && !in.empty() && in[0] >= 0) {  // one byte: most of them
      const auto v = static_cast<std::uint8_t>(in[0]);
      in.remove_prefix(1);
      ok = v <= max;
      return ok ? v : 0;
    }
    std::uint64_t v = 0;
    ok = ok && read_varint(in, v) && v <= max;
    return ok ? v : 0;
  }
  template <class T>
  T fixed() {
    if (!ok || in.size() < sizeof(T)) {
      ok = false;
      return {};
    }
    const T v = load<T>(in.data());
    in.remove_prefix(sizeof(T));
    return v;
  }
  std::int64_t time(std::int64_t from) { return undelta(number(), from); }
  std::int64_t end(std::int64_t since) {
    const std::uint64_t v = number();
    if (v == 0) return 0;
    const std::int64_t until = undelta(v - 1, since);
    ok = ok && until != 0;
    return until;
  }
};

void read_term(Input& in, Term& term, std::int64_t first) {
  term = Term{};
  term.count = static_cast<std::uint8_t>(in.number(UINT8_MAX));
  if (term.count == 0) return;
  term.cause = static_cast<std::uint16_t>(in.number(UINT16_MAX));
  term.since_us = in.time(first);
  term.until_us = in.end(term.since_us);
}

void read_optional(Input& in, AddressState& s) {
  const auto parts = in.fixed<std::uint8_t>();
  s.dead_terms = s.soft_terms = 0;
  s.cleared_us = s.lifted_us = s.lapsed_us = 0;
  s.held_us = s.held_until_us = 0;
  s.held_message = 0;
  s.has_prior = (parts & kPrior) != 0;
  s.prior_us = 0;
  s.prior_message = 0;
  s.base = Terms{};
  s.days.clear();
  if ((parts & kTerms) != 0) {
    s.dead_terms = in.fixed<std::uint8_t>();
    s.soft_terms = in.fixed<std::uint8_t>();
  }
  if ((parts & kCleared) != 0) s.cleared_us = in.time(s.first_us);
  if ((parts & kLifted) != 0) s.lifted_us = in.time(s.first_us);
  if ((parts & kLapsed) != 0) s.lapsed_us = in.time(s.first_us);
  if ((parts & kBase) != 0) {
    read_term(in, s.base.dead, s.first_us);
    read_term(in, s.base.soft, s.first_us);
    read_term(in, s.base.incident, s.first_us);
  }
  if ((parts & kHeld) != 0) {
    s.held_us = in.time(s.first_us);
    s.held_until_us = in.time(s.held_us);
    s.held_message = in.fixed<std::uint64_t>();
    in.ok = in.ok && s.held_us != 0;
  }
  if (s.has_prior) {
    s.prior_us = in.time(s.first_us);
    s.prior_message = in.fixed<std::uint64_t>();
  }
  if ((parts & kDays) == 0) return;
  const std::uint64_t n = in.number(255);
  for (std::uint64_t i = 0; i < n && in.ok; ++i) {
    FailureDays d;
    d.row = static_cast<std::uint16_t>(in.number(UINT16_MAX));
    d.newest_day = static_cast<std::int32_t>(static_cast<std::uint32_t>(in.number(UINT32_MAX)));
    d.bits = in.fixed<std::uint64_t>();
    in.ok = in.ok && (s.days.empty() || s.days.back().row < d.row);
    s.days.push_back(d);
  }
}

void read_failures(Input& in, std::size_t n, AddressState& s) {
  s.failures.clear();
  std::int64_t before = s.first_us;
  for (std::size_t i = 0; i < n && in.ok; ++i) {
    FailureRecord f;
    f.time_us = before = in.time(before);
    f.message = in.fixed<std::uint64_t>();
    f.position = in.number();
    f.source = static_cast<std::uint32_t>(in.number(UINT32_MAX));
    f.cause = static_cast<std::uint16_t>(in.number(UINT16_MAX));
    f.confidence = in.fixed<std::uint8_t>();
    f.flags = in.fixed<std::uint8_t>();
    for (const FailureRecord& o : s.failures) in.ok = in.ok && o.message != f.message;
    in.ok = in.ok && (s.failures.empty() || s.failures.back().time_us <= f.time_us);
    s.failures.push_back(f);
  }
}

void read_blocks(Input& in, std::size_t n, AddressState& s) {
  s.blocks.clear();
  for (std::size_t i = 0; i < n && in.ok; ++i) {
    BlockRecord b;
    const auto what = in.fixed<std::uint8_t>();
    in.ok = in.ok && (what & 15) < kBlockKinds && (what & 15) != 0 && what >> 4 < 4;
    if (!in.ok) return;
    b.kind = static_cast<BlockKind>(what & 15);
    b.scope = static_cast<BlockScope>(what >> 4);
    b.since_us = in.time(s.first_us);
    b.until_us = in.end(b.since_us);
    b.scope_id = static_cast<std::uint32_t>(in.number(UINT32_MAX));
    b.actor = static_cast<std::uint32_t>(in.number(UINT32_MAX));
    b.cause = static_cast<std::uint16_t>(in.number(UINT16_MAX));
    s.blocks.push_back(b);
  }
}

}  // namespace

void encode(const AddressState& s, std::string& out) {
  const std::size_t before_size = out.size();
  char stack[2048];
  const std::size_t room = room_for(s);
  std::unique_ptr<char[]> heap;
  if (room > sizeof stack) heap = std::make_unique<char[]>(room);
  char* const begin = heap ? heap.get() : stack;
  Writer w{begin};
  const bool delivery = s.last_delivery_us != 0 || s.last_delivery_message != 0;
  w.byte(EncodedHead::kVersion);
  w.byte((delivery ? EncodedHead::kDelivery : 0u) |
         (streak_matters(s) ? EncodedHead::kStreak : 0u));
  w.byte(static_cast<unsigned>(s.failures.size()));
  w.byte(static_cast<unsigned>(s.blocks.size()));
  w.fixed(s.totals.delivered);
  w.fixed(s.first_us);
  if (delivery) {
    w.fixed(s.last_delivery_us);
    w.fixed(s.last_delivery_message);
  }
  w.number(delta(s.last_event_us, s.first_us));
  for (const std::uint32_t n : {s.totals.bounced, s.totals.expired, s.totals.deferred,
                                s.totals.complained, s.totals.suppressed, s.evidence}) {
    w.number(n);
  }
  write_optional(w, s);
  std::int64_t before = s.first_us;
  for (const FailureRecord& f : s.failures) {
    write_failure(w, f, before);
    before = f.time_us;
  }
  for (const BlockRecord& b : s.blocks) write_block(w, b, s.first_us);
  const std::size_t size = std::min(s.text.size(), kTextBytesMax);
  w.number(size);
  out.append(begin, static_cast<std::size_t>(w.p - begin));
  out.append(s.text.data(), size);
  assert(out.size() - before_size <= room);
  (void)before_size;
}

bool decode_into(std::string_view bytes, AddressState& s) {
  if (bytes.size() < EncodedHead::kSizeMin) return false;
  const char* p = bytes.data();
  const auto flags = static_cast<std::uint8_t>(p[1]);
  const auto failures = static_cast<std::uint8_t>(p[2]);
  const auto blocks = static_cast<std::uint8_t>(p[3]);
  if (static_cast<std::uint8_t>(p[0]) != EncodedHead::kVersion || flags > 3 ||
      failures > limits::kFailuresMax || blocks > limits::kBlocksPerAddressMax) {
    return false;
  }
  s.totals.delivered = load<std::uint32_t>(p + 4);
  s.first_us = load<std::int64_t>(p + 8);
  Input in{bytes.substr(EncodedHead::kSizeMin)};
  s.last_delivery_us = 0;
  s.last_delivery_message = 0;
  if ((flags & EncodedHead::kDelivery) != 0) {
    s.last_delivery_us = in.fixed<std::int64_t>();
    s.last_delivery_message = in.fixed<std::uint64_t>();
  }
  s.last_event_us = in.time(s.first_us);
  for (std::uint32_t* n : {&s.totals.bounced, &s.totals.expired, &s.totals.deferred,
                           &s.totals.complained, &s.totals.suppressed, &s.evidence}) {
    *n = static_cast<std::uint32_t>(in.number(UINT32_MAX));
  }
  read_optional(in, s);
  read_failures(in, failures, s);
  read_blocks(in, blocks, s);
  const std::uint64_t size = in.number(kTextBytesMax);
  if (!in.ok || in.in.size() != size) return false;
  s.text.assign(in.in);
  return true;
}

Result<AddressState> decode(std::string_view bytes) {
  AddressState state;
  if (!bytes.empty() && static_cast<std::uint8_t>(bytes[0]) > EncodedHead::kVersion) {
    return fail(ErrorCode::data, "address state", "", "written by a newer bounced",
                "use the version that wrote this store, or a newer one");
  }
  if (!decode_into(bytes, state)) {
    return fail(ErrorCode::data, "address state", "", "malformed value",
                "restore the store from a backup");
  }
  return state;
}

bool EncodedHead::add_delivery(std::string_view in, std::int64_t time_us, std::uint64_t message,
                               std::string& out) {
  const char* p = in.data();
  if (in.size() < kSizeMin || time_us <= 0) return false;
  const auto first = load<std::int64_t>(p + 8);
  // With a streak, or a failure that may be newer than this delivery, the rules must look.
  if (p[1] != 0 || first == 0 || time_us < first) return false;
  std::string_view rest = in.substr(kSizeMin);
  std::uint64_t last = 0;
  if (!store::read_varint(rest, last) || undelta(last, first) > time_us) {
    return false;
  }
  const auto delivered = load<std::uint32_t>(p + 4);
  char head[kSizeMin + 16];
  std::memcpy(head, p, kSizeMin);
  head[1] = kDelivery;
  store_at(head + 4, delivered == UINT32_MAX ? delivered : delivered + 1);
  store_at(head + kSizeMin, time_us);
  store_at(head + kSizeMin + 8, message);
  out.assign(head, sizeof head);
  out.append(in.substr(kSizeMin));
  return true;
}

bool EncodedHead::add_deferral(std::string_view in, std::int64_t time_us, std::string& out) {
  if (in.size() < kSizeMin) return false;
  const auto first = load<std::int64_t>(in.data() + 8);
  // An older event moves `first`; a state without text takes the event's.
  if (first == 0 || time_us < first || in.back() == 0) return false;
  const std::size_t head =
      kSizeMin + ((static_cast<std::uint8_t>(in[1]) & kDelivery) != 0 ? 16 : 0);
  if (in.size() < head) return false;
  std::string_view rest = in.substr(head);
  std::uint64_t last = 0, other = 0, deferred = 0;
  if (!store::read_varint(rest, last)) return false;
  const std::size_t between = in.size() - rest.size();
  if (!store::read_varint(rest, other) || !store::read_varint(rest, other)) return false;
  const std::string_view middle = in.substr(between, in.size() - rest.size() - between);
  if (!store::read_varint(rest, deferred) || deferred > UINT32_MAX) return false;
  const std::uint64_t newest = delta(std::max(undelta(last, first), time_us), first);
  char changed[48];  // three varints of at most ten bytes, and the newest
  Writer w{changed};
  w.number(newest);
  if (middle.size() > 20) return false;
  std::memcpy(w.p, middle.data(), middle.size());
  w.p += middle.size();
  w.number(deferred == UINT32_MAX ? deferred : deferred + 1);
  out.assign(in.substr(0, head));
  out.append(changed, static_cast<std::size_t>(w.p - changed));
  out.append(rest);
  return true;
}

namespace {
/// Encodes a state that has but an event or a delivery, a count of deferrals and its text.
void encode_plain(std::int64_t first_us, bool delivery, std::int64_t last_event_us,
                  unsigned deferred, std::string_view text, std::string& out) {
  char head[64];
  Writer w{head};
  w.byte(EncodedHead::kVersion);
  w.byte(delivery ? EncodedHead::kDelivery : 0u);
  w.fixed(std::uint16_t{0});  // no failures, no blocks
  w.fixed(std::uint32_t{0});  // delivered
  w.fixed(first_us);
  if (delivery) {
    w.fixed(first_us);
    w.fixed(std::uint64_t{0});
  }
  w.number(delta(last_event_us, first_us));
  w.fixed(std::uint16_t{0});  // bounced, expired
  w.byte(deferred);
  w.fixed(std::uint32_t{0});  // complained, suppressed, evidence, no optional parts
  text = text.substr(0, kTextBytesMax);
  w.number(text.size());
  out.assign(head, static_cast<std::size_t>(w.p - head));
  out.append(text);
}
}  // namespace

void EncodedHead::first_deferral(std::int64_t time_us, std::string_view text, std::string& out) {
  encode_plain(time_us, false, time_us, 1, text, out);
}

void EncodedHead::quiet_domain(std::int64_t hour_us, std::string_view text, std::string& out) {
  encode_plain(hour_us, true, 0, 0, text, out);
}

bool EncodedHead::move_delivery(char* p, std::int64_t hour_us) {
  if ((static_cast<std::uint8_t>(p[1]) & kDelivery) == 0 || hour_us == 0) return false;
  store_at(p + kSizeMin, hour_us);
  store_at(p + kSizeMin + 8, std::uint64_t{0});
  return true;
}

}  // namespace bounced::state
