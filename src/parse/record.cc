#include "parse/record.h"

#include <algorithm>
#include <functional>
#include <unordered_map>

#include "base/hash.h"
#include "base/text.h"
#include "base/time.h"
#include "parse/postfix_reason.h"
#include "parse/scan.h"

namespace bounced::parse {
namespace {

/// Kept per thread between batches: buffers only.
struct Scratch {
  NameTable domains;  ///< normalised
  NameTable hosts;
  std::unordered_map<std::uint64_t, std::uint16_t> origins;
};

Scratch& scratch() {
  thread_local Scratch instance;
  return instance;
}

/// A message of an MTA whose ids are unique in the world: no host, no instance in its key.
std::uint64_t key_of(std::string_view id) {
  constexpr std::uint64_t kSeed = 0x7265636F7264ull;
  if (id.empty()) return 0;
  const std::uint64_t key = hash64(id, kSeed);
  return key == 0 ? 1 : key;
}

}  // namespace

RecordWriter::RecordWriter(const Context& context, Batch& batch)
    : context_(context), batch_(batch), relays_(context) {
  scratch().domains.start();
  scratch().hosts.start();
  scratch().origins.clear();
  next_ = batch_.block->data;
  batch_.counts.bytes += batch_.block->size;
}

/// The line at p, which ends before `next`.
std::string_view RecordWriter::line_at(const char* p, const char*& next) const {
  const char* const end = batch_.block->data + batch_.block->size;
  const char* stop = find_byte(p, end, '\n');
  next = stop == end ? end : stop + 1;
  while (p < stop && *p == '\0') ++p;
  if (stop > p && stop[-1] == '\r') --stop;
  return between(p, stop);
}

bool RecordWriter::next(std::string_view& line) {
  if (next_ == batch_.block->data + batch_.block->size) return false;
  line = line_at(next_, next_);
  line_ = line.data();
  ++batch_.counts.lines;
  return true;
}

std::string_view RecordWriter::rest() const {
  return between(next_, batch_.block->data + batch_.block->size);
}

std::string_view RecordWriter::extend(std::string_view line) {
  const std::string_view more = line_at(next_, next_);
  ++batch_.counts.lines;
  ++batch_.counts.ignored;
  return between(line.data(), more.data() + more.size());
}

std::size_t RecordWriter::padding(std::string_view line) const {
  const char* const end = batch_.block->data + batch_.block->size;
  return static_cast<std::size_t>(end - (line.data() + line.size())) + limits::kBlockPadding;
}

void RecordWriter::count(LineUse use) {
  count_line(batch_, use, line_offset());
}

std::uint64_t RecordWriter::line_offset() const {
  return batch_.block->offset + static_cast<std::uint64_t>(line_ - batch_.block->data);
}

Text RecordWriter::place(std::string_view bytes) {
  if (bytes.empty()) return {};
  const std::less_equal<> before;
  const Block& block = *batch_.block;
  const bool inside = before(block.data, bytes.data()) &&
                      before(bytes.data() + bytes.size(), block.data + block.size);
  return inside ? batch_.inside(bytes) : batch_.add(bytes);
}

std::uint16_t RecordWriter::origin_of(std::string_view host, std::string_view instance) {
  const std::uint64_t hash = hash64(instance, hash64(host));
  const auto [at, fresh] = scratch().origins.try_emplace(hash, 0);
  if (!fresh) return at->second;
  if (batch_.origins.size() >= kOriginsMax) return 0;
  batch_.origins.push_back({place(host), place(instance), hash});
  at->second = static_cast<std::uint16_t>(batch_.origins.size());
  return at->second;
}

std::uint16_t RecordWriter::number_of_host(std::string_view host, Text text) {
  return parse::number_of_host(batch_, scratch().hosts, Name(host, false), text,
                               [](std::size_t) {});
}

/// Whether mail that the record's host takes is only passed on.
bool RecordWriter::passes_on(const Record& record) {
  if (record.mta_host.empty() && record.mta_ip.empty()) return false;
  relay_text_.assign(record.mta_host).append("[").append(record.mta_ip).append("]");
  const Relay& relay = relays_.read(relay_text_, false);
  return relay.configured || relay.submission || relay.loopback;
}

void RecordWriter::begin(const Record& record) {
  number_ = 0;
  event_ = Event{};
  event_.kind = record.kind;
  event_.time_us = record.time_us;
  event_.time_form = record.time_form;
  event_.offset = line_offset();
  event_.queue_key = key_of(record.queue_id);
  event_.queue_id = place(record.queue_id);
  event_.sender = place(record.sender);
  event_.sender_domain = domain_key(record.sender);
  event_.message_id = place(record.message_id);
  event_.campaign = place(record.campaign);
  event_.mta_host = place(record.mta_host);
  event_.mta_ip = place(record.mta_ip);
  event_.sending_ip = place(record.sending_ip);
  event_.diagnostic = place(record.diagnostic);
  event_.source = batch_.block->source;
  event_.format = static_cast<std::uint8_t>(std::max(0, batch_.block->format));
  event_.smtp_code = record.smtp_code;
  event_.enhanced = record.enhanced;
  event_.phase = record.phase;
  event_.hint = record.hint;
  event_.flags = record.flags;
  event_.delay_ms = record.delay_ms;
  event_.origin = origin_of(record.host, record.instance);
  event_.host = number_of_host(record.mta_host, event_.mta_host);
  if (record.null_sender && record.sender.empty()) event_.flags |= EventFlags::kNullSender;
  const bool relayed = passes_on(record);
  if (event_.kind == EventKind::delivered && relayed) event_.kind = EventKind::relayed;
  if (event_.failing() && relayed) event_.flags |= EventFlags::kRelay;
  if (event_.kind == EventKind::bounced &&
      has_suppression_marker(record.diagnostic, record.enhanced)) {
    event_.kind = EventKind::suppressed;
  }
}

bool RecordWriter::add(std::string_view raw) {
  const std::string_view recipient = bare_address(raw);
  NormalisedAddress normal;
  AddressId id;
  if (recipient.empty()) return false;
  if (context_.hasher != nullptr && !context_.hasher->address(recipient, normal, id)) return false;
  const Text text = place(recipient);
  Event& event = batch_.events.append();
  event = event_;
  const std::uint64_t identity[3] = {batch_.block->file, event_.offset, number_++};
  event.id = hash64({reinterpret_cast<const char*>(identity), sizeof identity});
  event.recipient = text;
  event.recipient_id = id;
  if (context_.hasher != nullptr) {
    const auto size = static_cast<std::uint32_t>(raw_domain(recipient).size());
    set_domain(batch_, scratch().domains, *context_.hasher, Name(normal.domain(), false), event,
               [&] {
                 return Text{text.offset + text.size - size, size};
               });
  }
  batch_.times.see(event.time_us, event.time_form);
  return true;
}

std::string_view bare_address(std::string_view text) {
  text = trim(text);
  if (const auto semicolon = text.find(';');
      semicolon != std::string_view::npos && iequals(trim(text.substr(0, semicolon)), "rfc822")) {
    text = trim(text.substr(semicolon + 1));
  }
  if (text.size() >= 2 && text.front() == '<' && text.back() == '>') {
    text = text.substr(1, text.size() - 2);
  }
  return text;
}

EnhancedCode enhanced_at(std::string_view text) {
  text = trim(text);
  if (!text.empty() && text.front() == '#') text.remove_prefix(1);
  EnhancedCode code;
  const char* p = text.data();
  if (text.empty() || !read_enhanced(p, text.data() + text.size(), code)) return {};
  return code;
}

bool read_unix_or_rfc3339(std::string_view text, std::int64_t& time_us) {
  constexpr std::int64_t kSecondsMax = 100'000'000'000;  // the year 5138
  const char* p = text.data();
  const char* const end = p + text.size();
  std::int64_t whole = 0;
  while (p < end && is_digit(*p) && p - text.data() < 17) whole = whole * 10 + (*p++ - '0');
  if (p == text.data()) return false;
  if (p < end && *p != '.') {
    const auto parsed = parse_time(text);
    if (parsed) time_us = *parsed;
    return parsed.has_value();
  }
  std::int64_t micros = 0;
  if (p < end) {
    ++p;
    std::int64_t unit = 100'000;
    for (; p < end && is_digit(*p); ++p, unit /= 10) micros += (*p - '0') * unit;
    if (p != end) return false;
  }
  if (whole < kSecondsMax) {
    time_us = whole * kSecondUs + micros;
  } else {
    time_us = whole < kSecondsMax * 1000 ? whole * 1000 : whole;
  }
  return true;
}

}  // namespace bounced::parse
