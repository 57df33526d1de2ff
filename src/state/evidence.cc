#include "state/evidence.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "state/state.h"
#include "store/varint.h"

namespace bounced::state {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kTextBytesMax = 1024;  // of each text but the diagnostic

struct Header {
  std::uint32_t next;
  std::uint16_t capacity;
  std::uint16_t size;
  std::uint8_t slot;
};
constexpr std::size_t kHead = sizeof(Header);
constexpr std::size_t kValueMax = 160 + 6 * kTextBytesMax + limits::kDiagnosticBytesMax;

/// Writes into a buffer that is large enough; no checks, no growth.
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
  void text(std::string_view t, std::size_t max = kTextBytesMax) {
    const std::size_t n = std::min(t.size(), max);
    number(n);
    if (n != 0) std::memcpy(p, t.data(), n);
    p += n;
  }
};

bool read_text(std::string_view& in, std::string& out) {
  std::uint64_t n = 0;
  if (!store::read_varint(in, n) || n > in.size()) return false;
  out.assign(in.substr(0, n));
  in.remove_prefix(n);
  return true;
}

}  // namespace

std::uint32_t PendingEvidence::room() {
  std::uint32_t from = std::max<std::uint32_t>(used_, 16);
  if (kChunkBytes - (from & (kChunkBytes - 1)) < kHead + kValueMax) {
    from = ((from >> kChunkBits) + 1) << kChunkBits;
  }
  // Not make_unique: it would zero what is overwritten anyway.
  while (chunks_.size() <= from >> kChunkBits) chunks_.emplace_back(new char[kChunkBytes]);
  return from;
}

void PendingEvidence::add(std::uint32_t& head, std::uint8_t slot, const Batch& batch,
                          const Event& event, const Verdict& verdict, std::string_view rule) {
  const std::uint32_t fresh = room();
  char* const value = at(fresh) + kHead;
  Writer w{value};
  w.byte(kVersion);
  w.byte(static_cast<unsigned>(event.kind) | static_cast<unsigned>(event.phase) << 4);
  w.number(store::zigzag(event.time_us));
  w.byte(event.flags);
  w.number(static_cast<unsigned>(verdict.cause));
  w.byte(static_cast<unsigned>(verdict.said) | static_cast<unsigned>(verdict.severity) << 2 |
         static_cast<unsigned>(verdict.bounce_class) << 4);
  w.byte(static_cast<unsigned>(verdict.category));
  w.byte(static_cast<unsigned>(verdict.fault));
  w.byte(verdict.confidence);
  w.number(event.smtp_code);
  w.byte(event.enhanced.klass);
  w.number(event.enhanced.subject);
  w.number(event.enhanced.detail);
  w.number(event.source);
  w.number(event.offset);
  w.text(rule);
  w.text(batch.view(event.queue_id));
  w.text(batch.view(event.message_id));
  w.text(batch.view(event.sender));
  w.text(batch.view(event.mta_host));
  w.text(batch.view(event.mta_ip));
  w.text(batch.view(event.diagnostic), limits::kDiagnosticBytesMax);
  const auto size = static_cast<std::uint16_t>(w.p - value);

  // The same slot again within this cut: in place where it fits, else the old one is unchained
  // (its room is lost until the cut; each next one is larger, so this ends).
  for (std::uint32_t here = head, before = 0; here != 0;) {
    Header h;
    std::memcpy(&h, at(here), kHead);
    if (h.slot != slot) {
      before = here;
      here = h.next;
      continue;
    }
    if (size <= h.capacity) {
      h.size = size;
      std::memcpy(at(here), &h, kHead);
      std::memcpy(at(here) + kHead, value, size);
      return;
    }
    --records_;
    if (before == 0) {
      head = h.next;
    } else {
      std::memcpy(at(before) + offsetof(Header, next), &h.next, sizeof h.next);
    }
    break;
  }
  Header h{};
  h.next = head;
  h.capacity = size;
  h.size = size;
  h.slot = slot;
  head = fresh;
  std::memcpy(at(fresh), &h, kHead);
  used_ = fresh + static_cast<std::uint32_t>(kHead) + size;
  ++records_;
}

bool PendingEvidence::next(std::uint32_t& offset, Item& out) const {
  if (offset == 0) return false;
  Header h;
  std::memcpy(&h, at(offset), kHead);
  out = {h.slot, {at(offset) + kHead, h.size}};
  offset = h.next;
  return true;
}

void PendingEvidence::clear() {
  used_ = 0;
  records_ = 0;
}

Result<Evidence> decode_evidence(std::string_view bytes) {
  const auto bad = [](const char* why) {
    return fail(ErrorCode::data, "evidence", "", why, "restore the store from a backup");
  };
  if (bytes.empty() || static_cast<std::uint8_t>(bytes[0]) != kVersion) {
    return bad("of an unknown version");
  }
  bytes.remove_prefix(1);
  bool ok = true;
  const auto byte = [&]() -> std::uint8_t {
    if (bytes.empty()) {
      ok = false;
      return 0;
    }
    const auto v = static_cast<std::uint8_t>(bytes[0]);
    bytes.remove_prefix(1);
    return v;
  };
  const auto number = [&]() -> std::uint64_t {
    std::uint64_t v = 0;
    ok = ok && store::read_varint(bytes, v);
    return v;
  };
  Evidence e;
  const std::uint8_t kind = byte();
  e.kind = static_cast<EventKind>(kind & 15);
  e.phase = static_cast<Phase>(kind >> 4);
  e.time_us = store::unzigzag(number());
  e.flags = byte();
  e.verdict.cause = static_cast<Cause>(number());
  const std::uint8_t what = byte();
  e.verdict.said = static_cast<Severity>(what & 3);
  e.verdict.severity = static_cast<Severity>(what >> 2 & 3);
  e.verdict.bounce_class = static_cast<BounceClass>(what >> 4);
  e.verdict.category = static_cast<Category>(byte());
  e.verdict.fault = static_cast<Fault>(byte());
  e.verdict.confidence = byte();
  e.smtp_code = static_cast<std::uint16_t>(number());
  e.enhanced.klass = byte();
  e.enhanced.subject = static_cast<std::uint16_t>(number());
  e.enhanced.detail = static_cast<std::uint16_t>(number());
  e.source = static_cast<std::uint32_t>(number());
  e.offset = number();
  for (std::string* text :
       {&e.rule, &e.queue_id, &e.message_id, &e.sender, &e.mta_host, &e.mta_ip, &e.diagnostic}) {
    ok = ok && read_text(bytes, *text);
  }
  if (!ok || !bytes.empty() || (kind & 15) >= kEventKinds || kind >> 4 > 6) {
    return bad("malformed value");
  }
  return e;
}

}  // namespace bounced::state
