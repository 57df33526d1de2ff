#include "parse/push.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/hash.h"
#include "base/time.h"
#include "store/varint.h"

namespace bounced::parse {
namespace {

using store::append_varint;
using store::read_varint;

constexpr std::uint8_t kVersion = 1;

/// Which fields an event has, in the order in which they are written.
enum Field : std::uint32_t {
  kKey = 1u << 0,
  kSender = 1u << 1,
  kQueueId = 1u << 2,
  kMessageId = 1u << 3,
  kMtaHost = 1u << 4,
  kMtaIp = 1u << 5,
  kSendingIp = 1u << 6,
  kDiagnostic = 1u << 7,
  kCampaign = 1u << 8,
  kQueueKey = 1u << 9,
  kCodes = 1u << 10,  ///< SMTP code, enhanced code
  kDelay = 1u << 11,
  kPort = 1u << 12,
  kDetails = 1u << 13,  ///< phase, hint, flags
  kOrigin = 1u << 14,   ///< who it was sent for, in the source's words
  kMessage = 1u << 15,  ///< the fingerprint by which the source knows its message
};
struct TextField {
  Field field;
  Text Event::*text;
};
constexpr TextField kTexts[] = {
    {kSender, &Event::sender},         {kQueueId, &Event::queue_id},
    {kMessageId, &Event::message_id},  {kMtaHost, &Event::mta_host},
    {kMtaIp, &Event::mta_ip},          {kSendingIp, &Event::sending_ip},
    {kDiagnostic, &Event::diagnostic}, {kCampaign, &Event::campaign},
};

std::string_view view(const Batch& batch, Text text) {
  return text.empty() ? std::string_view() : batch.view(text).substr(0, kPushTextBytesMax);
}

/// Writes an event's bytes into room that is there: appending them to a string one by one was a
/// tenth of what a request's thread did.
struct Writer {
  char* at;
  void number(std::uint64_t v) {
    for (; v >= 0x80; v >>= 7) *at++ = static_cast<char>(v | 0x80);
    *at++ = static_cast<char>(v);
  }
  void text(std::string_view text) {
    number(text.size());
    if (!text.empty()) std::memcpy(at, text.data(), text.size());
    at += text.size();
  }
  void id(const AddressId& id) {
    std::memcpy(at, &id.hi, 8);
    std::memcpy(at + 8, &id.lo, 8);
    at += 16;
  }
};
/// Of all numbers and ids of an event, and the sizes of its texts, at their largest.
constexpr std::size_t kFixedBytesMax = 15 * 10 + 3 * 16 + (std::size(kTexts) + 3) * 10;

void append_text(std::string& out, std::string_view text) {
  append_varint(out, text.size());
  out.append(text);
}

bool read_text(std::string_view& in, std::string_view& out, std::size_t max = kPushTextBytesMax) {
  std::uint64_t size = 0;
  if (!read_varint(in, size) || size > in.size() || size > max) return false;
  out = in.substr(0, size);
  in.remove_prefix(size);
  return true;
}

bool read_id(std::string_view& in, AddressId& id) {
  if (in.size() < 16) return false;
  std::memcpy(&id.hi, in.data(), 8);
  std::memcpy(&id.lo, in.data() + 8, 8);
  in.remove_prefix(16);
  return true;
}

template <class Number>
bool read_number(std::string_view& in, Number& out) {
  std::uint64_t v = 0;
  if (!read_varint(in, v) || v > std::numeric_limits<Number>::max()) return false;
  out = static_cast<Number>(v);
  return true;
}

template <class Enum>
bool read_enum(std::string_view& in, Enum& out, Enum last) {
  std::uint64_t v = 0;
  if (!read_varint(in, v) || v > static_cast<std::uint64_t>(last)) return false;
  out = static_cast<Enum>(v);
  return true;
}

bool has_codes(const Event& e) {
  return e.smtp_code != 0 || e.enhanced.present();
}

std::uint32_t fields_of(const Batch& batch, const Event& e, std::size_t at) {
  std::uint32_t fields = at < batch.keys.size() ? std::uint32_t{kKey} : 0u;
  for (const TextField& t : kTexts) {
    if (!(e.*t.text).empty()) fields |= t.field;
  }
  if (batch.origin(e.origin) != nullptr) fields |= kOrigin;
  if (e.queue_key != 0) fields |= kQueueKey;
  if (e.message != 0) fields |= kMessage;
  if (has_codes(e)) fields |= kCodes;
  if (e.delay_ms != 0) fields |= kDelay;
  if (e.mta_port != 0) fields |= kPort;
  if (e.phase != Phase::none || e.hint != ProviderHint::none || e.flags != 0) fields |= kDetails;
  return fields;
}

/// One record of a block as it is read.
struct Reader {
  Batch& batch;
  std::uint64_t sequence = 0;
  std::vector<PushIds> sources;

  [[nodiscard]] const PushIds* source(std::uint32_t number) const {
    for (const PushIds& ids : sources) {
      if (ids.number == number) return &ids;
    }
    return nullptr;
  }
  bool text(std::string_view& in, Text& out) const {
    std::string_view bytes;
    if (!read_text(in, bytes)) return false;
    if (!bytes.empty()) out = batch.inside(bytes);
    return true;
  }
  bool origin(std::string_view& in, Event& e) const;
  bool details(std::string_view& in, std::uint32_t fields, Event& e) const;
  bool event(std::string_view& in, std::uint32_t nth);
};

bool Reader::origin(std::string_view& in, Event& e) const {
  Origin origin;
  if (!text(in, origin.host) || !text(in, origin.instance)) return false;
  const std::string_view host = batch.view(origin.host), instance = batch.view(origin.instance);
  // Those of one request mostly have one.
  if (!batch.origins.empty() && batch.view(batch.origins.back().host) == host &&
      batch.view(batch.origins.back().instance) == instance) {
    e.origin = static_cast<std::uint16_t>(batch.origins.size());
    return true;
  }
  if (batch.origins.size() == UINT16_MAX) return true;  // without, then
  origin.hash = hash64(instance, hash64(host));
  batch.origins.push_back(origin);
  e.origin = static_cast<std::uint16_t>(batch.origins.size());
  return true;
}

bool Reader::details(std::string_view& in, std::uint32_t fields, Event& e) const {
  for (const TextField& t : kTexts) {
    if ((fields & t.field) != 0 && !text(in, e.*t.text)) return false;
  }
  if ((fields & kOrigin) != 0 && !origin(in, e)) return false;
  if ((fields & kQueueKey) != 0 && !read_number(in, e.queue_key)) return false;
  if ((fields & kMessage) != 0 && !read_number(in, e.message)) return false;
  if ((fields & kCodes) != 0 &&
      !(read_number(in, e.smtp_code) && read_number(in, e.enhanced.klass) &&
        read_number(in, e.enhanced.subject) && read_number(in, e.enhanced.detail))) {
    return false;
  }
  if ((fields & kDelay) != 0 && !read_number(in, e.delay_ms)) return false;
  if ((fields & kPort) != 0 && !read_number(in, e.mta_port)) return false;
  return (fields & kDetails) == 0 ||
         (read_enum(in, e.phase, Phase::eod) &&
          read_enum(in, e.hint, static_cast<ProviderHint>(kProviderHints - 1)) &&
          read_number(in, e.flags));
}

bool Reader::event(std::string_view& in, std::uint32_t nth) {
  Event e;
  std::uint32_t number = 0, fields = 0;
  std::uint64_t time = 0;
  AddressId key;
  if (!read_number(in, number) || !read_enum(in, e.kind, EventKind::probed) ||
      e.kind == EventKind::none || !read_number(in, fields) || !read_varint(in, time) ||
      !read_id(in, e.recipient_id) || !read_id(in, e.domain_id) || !text(in, e.recipient) ||
      ((fields & kKey) != 0 && !read_id(in, key)) || !details(in, fields, e)) {
    return false;
  }
  const PushIds* const ids = source(number);
  if (ids == nullptr) return false;
  e.time_us = static_cast<std::int64_t>(time);
  e.offset = sequence;
  e.source = ids->source;
  e.tenant = ids->tenant;
  e.stream = ids->stream;
  e.format = ids->format;
  e.sender_domain = domain_key(batch.view(e.sender));
  const std::uint64_t where[2] = {sequence, nth};
  e.id = hash64({reinterpret_cast<const char*>(where), sizeof where}, ids->source);
  if ((fields & kKey) != 0) e.id = key.lo ^ (key.hi * 0x9E3779B97F4A7C15ull);
  batch.events.push_back(e);
  batch.keys.push_back(key);
  return true;
}

/// Head of a record in a block. It never leaves the process.
struct BlockHead {
  PushRecord record;
  std::uint32_t bytes = 0;  ///< of the events
  std::uint32_t sources = 0;
};

/// Takes a record off the front of a block's bytes; false when there is none.
bool take_record(std::string_view& in, BlockHead& head, std::string_view& ids,
                 std::string_view& events) {
  if (in.size() < sizeof head) return false;
  std::memcpy(&head, in.data(), sizeof head);
  in.remove_prefix(sizeof head);
  if (head.sources > in.size() / sizeof(PushIds)) return false;
  ids = in.substr(0, head.sources * sizeof(PushIds));
  in.remove_prefix(ids.size());
  if (head.bytes > in.size()) return false;
  events = in.substr(0, head.bytes);
  in.remove_prefix(head.bytes);
  return true;
}

}  // namespace

bool append_push_event(std::string& out, std::uint32_t source, const Batch& batch, std::size_t at,
                       std::int64_t now_us) {
  const Event& e = batch.events[at];
  const bool clamped = e.time_us > now_us + kPushAheadUs || e.time_us <= 0;
  const std::uint32_t fields = fields_of(batch, e, at);
  const Origin* const origin = batch.origin(e.origin);
  std::size_t room = kFixedBytesMax + view(batch, e.recipient).size();
  for (const TextField& t : kTexts) room += view(batch, e.*t.text).size();
  if (origin != nullptr) {
    room += view(batch, origin->host).size() + view(batch, origin->instance).size();
  }
  const std::size_t from = out.size();
  out.resize(from + room);
  Writer to{out.data() + from};
  to.number(source);
  to.number(static_cast<std::uint64_t>(e.kind));
  to.number(fields);
  to.number(static_cast<std::uint64_t>(clamped ? now_us : e.time_us));
  to.id(e.recipient_id);
  to.id(e.domain_id);
  to.text(view(batch, e.recipient));
  if ((fields & kKey) != 0) to.id(batch.keys[at]);
  for (const TextField& t : kTexts) {
    if ((fields & t.field) != 0) to.text(view(batch, e.*t.text));
  }
  if ((fields & kOrigin) != 0) {
    to.text(view(batch, origin->host));
    to.text(view(batch, origin->instance));
  }
  if ((fields & kQueueKey) != 0) to.number(e.queue_key);
  if ((fields & kMessage) != 0) to.number(e.message);
  if ((fields & kCodes) != 0) {
    for (const std::uint64_t code :
         {std::uint64_t{e.smtp_code}, std::uint64_t{e.enhanced.klass},
          std::uint64_t{e.enhanced.subject}, std::uint64_t{e.enhanced.detail}}) {
      to.number(code);
    }
  }
  if ((fields & kDelay) != 0) to.number(e.delay_ms);
  if ((fields & kPort) != 0) to.number(e.mta_port);
  if ((fields & kDetails) != 0) {
    to.number(static_cast<std::uint64_t>(e.phase));
    to.number(static_cast<std::uint64_t>(e.hint));
    to.number(e.flags);
  }
  out.resize(static_cast<std::size_t>(to.at - out.data()));
  return clamped;
}

void append_push_head(std::string& out, std::int64_t accepted_us,
                      const std::map<std::uint32_t, const PushSource*>& sources) {
  out.push_back(static_cast<char>(kVersion));
  append_varint(out, static_cast<std::uint64_t>(accepted_us));
  append_varint(out, sources.size());
  for (const auto& [number, source] : sources) {
    append_varint(out, number);
    for (const std::string* text :
         {&source->name, &source->format, &source->tenant, &source->stream})
      append_text(out, *text);
    append_varint(out, static_cast<std::uint64_t>(std::max<std::int64_t>(0, source->horizon_us)));
  }
}

Result<PushHead> read_push_head(std::string_view& in) {
  const auto bad = [](const char* why) { return fail(ErrorCode::data, "read", "inbox", why); };
  if (in.empty()) return bad("an empty record");
  if (static_cast<std::uint8_t>(in.front()) != kVersion) {
    return fail(ErrorCode::data, "read", "inbox", "a record of another version",
                "start the version of bounced that wrote it once more");
  }
  in.remove_prefix(1);
  PushHead head;
  std::uint64_t accepted = 0, sources = 0;
  if (!read_varint(in, accepted) || !read_varint(in, sources)) return bad("a damaged record");
  head.accepted_us = static_cast<std::int64_t>(accepted);
  for (std::uint64_t i = 0; i < sources; ++i) {
    std::uint32_t number = 0;
    std::string_view name, format, tenant, stream;
    std::uint64_t horizon = 0;
    if (!read_number(in, number) || !read_text(in, name) || !read_text(in, format) ||
        !read_text(in, tenant) || !read_text(in, stream) || !read_varint(in, horizon)) {
      return bad("a damaged record");
    }
    head.sources[number] = {std::string(name), std::string(format), std::string(tenant),
                            std::string(stream), static_cast<std::int64_t>(horizon)};
  }
  return head;
}

bool append_push_block(Block& block, const PushRecord& record, const std::vector<PushIds>& sources,
                       std::string_view events) {
  BlockHead head;
  head.record = record;
  head.bytes = static_cast<std::uint32_t>(events.size());
  head.sources = static_cast<std::uint32_t>(sources.size());
  const std::size_t ids = sources.size() * sizeof(PushIds);
  if (sizeof head + ids + events.size() > block.capacity - block.size) return false;
  char* to = block.data + block.size;
  std::memcpy(to, &head, sizeof head);
  if (ids != 0) std::memcpy(to + sizeof head, sources.data(), ids);
  if (!events.empty()) std::memcpy(to + sizeof head + ids, events.data(), events.size());
  block.size += static_cast<std::uint32_t>(sizeof head + ids + events.size());
  return true;
}

PushRange push_range(const Block& block) {
  PushRange range;
  BlockHead head;
  std::string_view ids, events;
  std::string_view in = block.text();
  for (bool first = true; take_record(in, head, ids, events); first = false) {
    if (first) range.begin = head.record.sequence;
    range.end = head.record.sequence + 1;
    range.accepted_us = std::max(range.accepted_us, head.record.accepted_us);
    range.until_day = std::max(range.until_day, head.record.until_day);
  }
  return range;
}

void parse_push(const Context&, Batch& batch) {
  std::string_view in = batch.block->text();
  batch.counts.bytes += in.size();
  Reader reader{batch, 0, {}};
  while (!in.empty()) {
    BlockHead head;
    std::string_view ids, events;
    if (!take_record(in, head, ids, events)) {
      ++batch.counts.lines;
      ++batch.counts.unparsed;
      return;
    }
    reader.sequence = head.record.sequence;
    reader.sources.resize(head.sources);
    if (!ids.empty()) std::memcpy(reader.sources.data(), ids.data(), ids.size());
    for (std::uint32_t nth = 0; !events.empty(); ++nth) {
      ++batch.counts.lines;
      if (reader.event(events, nth)) continue;
      ++batch.counts.unparsed;
      if (batch.sample_unparsed < 0) {
        batch.sample_unparsed = static_cast<std::int64_t>(head.record.sequence);
      }
      break;
    }
  }
}

int probe_push(std::string_view) {
  return 0;
}

int find_push_format(std::string_view name) {
  const auto rows = formats();
  int other = -1;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].name == name) return static_cast<int>(i);
    if (rows[i].name == "push") other = static_cast<int>(i);
  }
  return other;
}

std::string file_formats() {
  std::string names;
  for (const Format& row : formats()) {
    if (row.parse != parse_push) names.append(names.empty() ? "" : ", ").append(row.name);
  }
  return names;
}

}  // namespace bounced::parse
