#include "state/evidence.h"

#include <algorithm>
#include <string>

#include "base/copy_short.h"
#include "state/state.h"
#include "store/varint.h"

namespace bounced::state {
namespace {

/// 2 has what stands behind the offset, campaign and sending IP; 3 ends with the provider's class,
/// and is written where there is one. All are read.
constexpr std::uint8_t kVersion = 2, kVersionWithHint = 3;

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
  void text(std::string_view t, std::size_t max = kEvidenceTextMax) {
    const std::size_t n = std::min(t.size(), max);
    number(n);
    copy_short(p, t.data(), n);
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

char* encode_evidence(char* out, const Batch& batch, const Event& event, const Verdict& verdict,
                      std::string_view rule) {
  Writer w{out};
  w.byte(event.hint == ProviderHint::none ? kVersion : kVersionWithHint);
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
  w.number(event.delay_ms);
  w.number(event.mta_port);
  w.number(event.tenant);
  w.number(event.stream);
  w.byte(event.format);
  w.text(rule);
  w.text(batch.view(event.queue_id));
  w.text(batch.view(event.message_id));
  w.text(batch.view(event.sender));
  w.text(batch.view(event.mta_host));
  w.text(batch.view(event.mta_ip));
  w.text(batch.view(event.diagnostic), limits::kDiagnosticBytesMax);
  w.text(batch.view(event.campaign));
  w.text(batch.view(event.sending_ip));
  if (event.hint != ProviderHint::none) w.byte(static_cast<unsigned>(event.hint));
  return w.p;
}

Result<Evidence> decode_evidence(std::string_view bytes) {
  const auto bad = [](const char* why) {
    return fail(ErrorCode::data, "evidence", "", why, "restore the store from a backup");
  };
  const std::uint8_t version = bytes.empty() ? 0 : static_cast<std::uint8_t>(bytes[0]);
  if (version == 0 || version > kVersionWithHint) return bad("of an unknown version");
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
  if (version > 1) {
    e.delay_ms = static_cast<std::uint32_t>(number());
    e.mta_port = static_cast<std::uint16_t>(number());
    e.tenant = static_cast<std::uint16_t>(number());
    e.stream = static_cast<std::uint16_t>(number());
    e.format = byte();
  }
  for (std::string* text :
       {&e.rule, &e.queue_id, &e.message_id, &e.sender, &e.mta_host, &e.mta_ip, &e.diagnostic}) {
    ok = ok && read_text(bytes, *text);
  }
  if (version > 1) ok = ok && read_text(bytes, e.campaign) && read_text(bytes, e.sending_ip);
  if (version > 2) {
    const std::uint8_t hint = byte();
    ok = ok && hint < kProviderHints;
    if (ok) e.hint = static_cast<ProviderHint>(hint);
  }
  if (!ok || !bytes.empty() || (kind & 15) >= kEventKinds || kind >> 4 > 6) {
    return bad("malformed value");
  }
  return e;
}

}  // namespace bounced::state
