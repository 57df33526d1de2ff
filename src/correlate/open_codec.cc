#include "correlate/open_codec.h"

#include <fmt/format.h>

#include <cstring>

#include "base/copy_short.h"
#include "correlate/correlate.h"
#include "store/varint.h"

namespace bounced::correlate {
namespace {

/// Most bytes that a message and a recipient take beside their texts (45 and 113).
constexpr std::size_t kMessageBytesMax = 64, kRecipientBytesMax = 128;

/// Writes into a buffer that is large enough; no checks, no growth.
struct Writer {
  char* p;
  void byte(unsigned value) { *p++ = static_cast<char>(value); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) byte(static_cast<unsigned>(value & 0x7F) | 0x80);
    byte(static_cast<unsigned>(value));
  }
  void time(std::int64_t value) { varint(store::zigzag(value)); }
  void fixed64(std::uint64_t value) {
    const std::uint64_t big_endian = __builtin_bswap64(value);
    std::memcpy(p, &big_endian, sizeof big_endian);
    p += sizeof big_endian;
  }
  void text(std::string_view value) {
    varint(value.size());
    copy_short(p, value.data(), value.size());
    p += value.size();
  }
  void verdict(const Verdict& verdict);
  void recipient(const DeferredRecipient& recipient);
};

void Writer::verdict(const Verdict& verdict) {
  static_assert(sizeof verdict.rule <= 4 && sizeof verdict.cause <= 2);
  varint(static_cast<std::uint64_t>(verdict.cause));
  if (verdict.cause == Cause::none) return;
  byte(static_cast<unsigned>(verdict.said));
  byte(static_cast<unsigned>(verdict.severity));
  byte(static_cast<unsigned>(verdict.bounce_class));
  byte(static_cast<unsigned>(verdict.category));
  byte(static_cast<unsigned>(verdict.fault));
  byte(verdict.confidence);
  varint(verdict.rule);
  varint(verdict.generation);
}

void Writer::recipient(const DeferredRecipient& recipient) {
  fixed64(recipient.id.hi);
  fixed64(recipient.id.lo);
  fixed64(recipient.domain.hi);
  fixed64(recipient.domain.lo);
  time(recipient.arrived_us);
  varint(recipient.smtp_code);
  varint(recipient.mta_port);
  varint(recipient.enhanced.klass);
  varint(recipient.enhanced.subject);
  varint(recipient.enhanced.detail);
  byte(static_cast<unsigned>(recipient.phase));
  byte(recipient.flags);
  byte(recipient.format);
  byte(recipient.attempted ? 1 : 0);
  verdict(recipient.best);
  verdict(recipient.exempt);
  for (std::uint8_t i = 0; i < DeferredRecipient::kParts; ++i) {
    text(recipient.part(static_cast<DeferredRecipient::Part>(i)));
  }
}

/// Reads what Writer wrote; after the first shortage all reads give zero and ok() is
/// false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool done() const { return ok_ && rest_.empty(); }

  std::uint8_t byte() {
    if (rest_.empty()) {
      ok_ = false;
      return 0;
    }
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const std::uint8_t b = byte();
      value |= static_cast<std::uint64_t>(b & 0x7F) << shift;
      if ((b & 0x80) == 0) return value;
    }
    ok_ = false;
    return 0;
  }
  std::int64_t time() {
    const std::uint64_t value = varint();
    return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
  }
  std::uint64_t fixed64() {
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | byte();
    return value;
  }
  std::string_view text() {
    const std::uint64_t size = varint();
    if (size > rest_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view value = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return value;
  }
  template <class T>
  T number() {
    return static_cast<T>(varint());
  }
  Verdict verdict() {
    Verdict verdict;
    verdict.cause = number<Cause>();
    if (verdict.cause == Cause::none) return verdict;
    verdict.said = static_cast<Severity>(byte());
    verdict.severity = static_cast<Severity>(byte());
    verdict.bounce_class = static_cast<BounceClass>(byte());
    verdict.category = static_cast<Category>(byte());
    verdict.fault = static_cast<Fault>(byte());
    verdict.confidence = byte();
    verdict.rule = number<RuleId>();
    verdict.generation = number<std::uint32_t>();
    return verdict;
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

DeferredRecipient read_recipient(Reader& reader) {
  DeferredRecipient recipient;
  recipient.id.hi = reader.fixed64();
  recipient.id.lo = reader.fixed64();
  recipient.domain.hi = reader.fixed64();
  recipient.domain.lo = reader.fixed64();
  recipient.arrived_us = reader.time();
  recipient.smtp_code = reader.number<std::uint16_t>();
  recipient.mta_port = reader.number<std::uint16_t>();
  recipient.enhanced.klass = reader.number<std::uint8_t>();
  recipient.enhanced.subject = reader.number<std::uint16_t>();
  recipient.enhanced.detail = reader.number<std::uint16_t>();
  recipient.phase = static_cast<Phase>(reader.byte());
  recipient.flags = reader.byte();
  recipient.format = reader.byte();
  recipient.attempted = reader.byte() != 0;
  recipient.best = reader.verdict();
  recipient.exempt = reader.verdict();
  std::array<std::string_view, DeferredRecipient::kParts> parts;
  for (auto& part : parts) part = reader.text();
  recipient.set_parts(parts);
  return recipient;
}

}  // namespace

std::size_t open_bytes_max(const OpenMessage& message,
                           const std::vector<const DeferredRecipient*>& recipients) {
  std::size_t bytes = kMessageBytesMax + message.used;
  for (const DeferredRecipient* recipient : recipients) {
    bytes += kRecipientBytesMax + recipient->texts.size;
  }
  return bytes;
}

char* encode_open(const OpenMessage& message,
                  const std::vector<const DeferredRecipient*>& recipients, char* out) {
  Writer w{out};
  w.byte(kOpenVersion);
  w.byte(message.flags & OpenMessage::kLasting);
  w.time(message.first_us);
  w.varint(message.nrcpt);
  w.varint(message.done);
  for (std::size_t i = 0; i < kFields; ++i) w.text(message.text(static_cast<Field>(i)));
  w.varint(recipients.size());
  for (const DeferredRecipient* recipient : recipients) w.recipient(*recipient);
  return w.p;
}

Result<void> decode_open(std::uint64_t key, std::string_view value, OpenMessage& message,
                         std::vector<DeferredRecipient>& recipients) {
  const auto bad = [&](const char* why) {
    return fail(ErrorCode::data, "read open message", fmt::format("{:016x}", key), why);
  };
  Reader reader(value);
  if (const std::uint8_t version = reader.byte(); version != kOpenVersion) {
    return bad(version > kOpenVersion ? "written by a newer version" : "unknown version");
  }
  message.flags |= reader.byte() & OpenMessage::kLasting;
  message.first_us = reader.time();
  message.nrcpt = reader.number<std::uint32_t>();
  message.done = reader.number<std::uint16_t>();
  for (std::size_t i = 0; i < kFields; ++i) {
    message.set_text(static_cast<Field>(i), reader.text());
  }
  const std::uint64_t count = reader.varint();
  if (count > value.size()) return bad("damaged");
  recipients.clear();
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
    recipients.push_back(read_recipient(reader));
  }
  if (!reader.done()) return bad("damaged");
  return {};
}

void encode_clock(std::int64_t hour, std::string& out) {
  out.push_back(static_cast<char>(kOpenVersion));
  store::append_varint(out, store::zigzag(hour));
}

Result<std::int64_t> decode_clock(std::string_view value) {
  Reader reader(value);
  const std::uint8_t version = reader.byte();
  const std::int64_t hour = reader.time();
  if (version != kOpenVersion || !reader.done()) {
    return fail(ErrorCode::data, "read open messages", std::string(kClockKey), "damaged");
  }
  return hour;
}

Result<std::string> logical_open(std::string_view key, std::string_view value) {
  if (key == kClockKey) {
    auto hour = decode_clock(value);
    if (!hour) return tl::unexpected<Error>(hour.error());
    return "hour " + std::to_string(*hour);
  }
  if (key.size() != 8) return fail(ErrorCode::data, "read open messages", "key", "wrong size");
  OpenMessage message;
  message.reset(store::read_u64_be(key.data()), 0);
  std::vector<DeferredRecipient> recipients;
  if (auto ok = decode_open(message.key, value, message, recipients); !ok) {
    return tl::unexpected<Error>(ok.error());
  }
  std::vector<const DeferredRecipient*> list;
  for (DeferredRecipient& recipient : recipients) {
    recipient.id = recipient.domain = {};
    for (Verdict* verdict : {&recipient.best, &recipient.exempt}) {
      verdict->rule = kNoRule;
      verdict->generation = 0;
    }
    list.push_back(&recipient);
  }
  std::string bytes(key);
  bytes.resize(key.size() + open_bytes_max(message, list));
  bytes.resize(static_cast<std::size_t>(encode_open(message, list, bytes.data() + key.size()) -
                                        bytes.data()));
  return bytes;
}

}  // namespace bounced::correlate
