#include "parse/postfix.h"

#include <unordered_map>

#include "base/hash_inline.h"
#include "base/text.h"
#include "parse/header.h"
#include "parse/postfix_line.h"
#include "parse/postfix_reason.h"
#include "parse/relay.h"
#include "parse/scan.h"
#include "parse/usual.h"

namespace bounced::parse {
namespace {

constexpr std::size_t kTagBytesMax = 56;
constexpr std::size_t kTagEntries = 128;
constexpr std::size_t kOriginsMax = 65'000;  // Event::origin is 16 bits

/// What a host and tag stand for. The bytes are copied: JSON's do not outlive their line.
struct Tag {
  char bytes[kTagBytesMax];
  std::uint8_t host_size = 0;
  std::uint8_t size = 0;  ///< of host and tag
  bool full = true;
  bool ours = false;  ///< of a Postfix instance, by its name
  Daemon daemon = Daemon::foreign;
  std::uint16_t origin = 0;
  std::uint64_t hash = 0;  ///< of the origin
};

/// A host and tag as the line has them ("mx-out1 postfix/smtp", up to the '['), and their meaning.
struct Head {
  static constexpr std::size_t kBytesMax = 47;
  char bytes[kBytesMax + 1];
  std::uint8_t size = 0;  ///< 0 = unused
  Tag tag;
};
constexpr std::size_t kHeads = 128;

/// Never 0. Long and short ids have one size each; knowing it spares the hash its branches.
BOUNCED_HOT std::uint64_t queue_key(std::string_view id, const Tag& tag) {
  const std::uint64_t key =
      id.size() == 16 ? hash64_inline(id.data(), 16, tag.hash) : hash64(id, tag.hash);
  return key == 0 ? 1 : key;
}

/// Two heads of one log differ in their last bytes or their size. Reads 8 bytes before `end`.
BOUNCED_HOT std::size_t head_slot(const char* end, std::size_t size) {
  return ((load64(end - 8) + size) * 0x9E3779B97F4A7C15ull) >> 57;
}

/// Copied, not constructed: g++ zeroes 192 bytes by `rep stos`, whose start costs 20 ns; twelve
/// vector moves cost 3. The pointer is volatile so that it does not see through this.
const Event kZeroEvent;
const Event* volatile kNoEvent = &kZeroEvent;

/// Kept per thread between batches: buffers only, no state that a batch could see.
struct Scratch {
  HeaderReader headers;
  std::unordered_map<std::uint64_t, std::uint16_t> origins;
};

Scratch& scratch() {
  thread_local Scratch instance;
  return instance;
}

class PostfixParser {
 public:
  PostfixParser(const Context& context, Batch& batch)
      : context_(context),
        batch_(batch),
        relays_(context),
        scratch_(scratch()),
        base_(batch.block->data) {
    scratch_.origins.clear();
  }

  void run();

 private:
  enum class Outcome : std::uint8_t { used, ignored, unparsed, foreign };

  Outcome line(std::string_view text, std::size_t padding);
  const Tag* usual_header(const char* p, const char* end);
  void remember_head(const Tag& tag);
  void add_note(const Tag& tag, std::string_view queue_id, NoteKind kind, std::string_view text,
                std::uint32_t number);
  Outcome message(const Tag& tag, const char* p, const char* end);
  Outcome delivery(const Tag& tag, std::string_view queue_id, std::string_view text);
  Outcome remark(const Tag& tag, std::string_view queue_id, std::string_view text);
  void fill_remote(const Tag& tag, const Delivery& delivery, Event& event);
  void fill_failure(const Tag& tag, const Delivery& delivery, Event& event);
  EventKind kind_of_sent(const Tag& tag, const Delivery& delivery, const Relay& relay) const;
  const Tag& resolve_tag();
  void fill_tag(Tag& tag);
  std::uint16_t origin_of(std::string_view host, std::string_view instance, std::uint64_t hash);
  Text arena_text(std::string_view bytes);
  /// The Text of bytes of this line.
  BOUNCED_HOT Text text_of(std::string_view bytes) {
    if (bytes.empty()) return {};
    if (header_.unescaped) return arena_text(bytes);
    return {static_cast<std::uint32_t>(bytes.data() - base_),
            static_cast<std::uint32_t>(bytes.size())};
  }
  /// The message lies in the block, which has readable bytes behind it and ends in a newline.
  [[nodiscard]] bool padded() const { return !header_.unescaped && !truncated_; }
  void count(Outcome outcome, std::uint64_t offset);

  const Context& context_;
  Batch& batch_;
  RelayReader relays_;
  Scratch& scratch_;
  Header header_;
  const char* const base_;  ///< the block's data
  std::uint64_t line_offset_ = 0;
  const char* home_ = nullptr;  ///< of the message in the arena, once it is there
  std::uint32_t home_offset_ = 0;
  bool truncated_ = false;  ///< by the line limit
  Tag tags_[kTagEntries];
  Tag uncached_;
  Head heads_[kHeads];
};

/// A JSON message is copied to the arena when the first of its bytes is wanted, so that lines of no
/// interest cost nothing.
Text PostfixParser::arena_text(std::string_view bytes) {
  if (home_ == nullptr) {
    home_ = header_.text.data();
    home_offset_ = batch_.add(header_.text).offset;
  }
  return {home_offset_ + static_cast<std::uint32_t>(bytes.data() - home_),
          static_cast<std::uint32_t>(bytes.size())};
}

std::uint16_t PostfixParser::origin_of(std::string_view host, std::string_view instance,
                                       std::uint64_t hash) {
  const auto [at, fresh] = scratch_.origins.try_emplace(hash64(instance, hash64(host)), 0);
  if (!fresh) return at->second;
  if (batch_.origins.size() >= kOriginsMax) return 0;
  const auto place = [&](std::string_view bytes) {
    return header_.unescaped ? batch_.add(bytes) : (bytes.empty() ? Text{} : batch_.inside(bytes));
  };
  batch_.origins.push_back({place(host), place(instance), hash});
  at->second = static_cast<std::uint16_t>(batch_.origins.size());
  return at->second;
}

void PostfixParser::fill_tag(Tag& tag) {
  const std::string_view instance = tag_instance(header_.tag);
  tag.full = header_.full_tag;
  tag.daemon = daemon_of_tag(header_.tag, header_.full_tag);
  // Services of one instance share its queue: "postfix/submission" has the ids of "postfix".
  const std::string_view queue = instance.substr(0, instance.find('/'));
  tag.ours =
      starts(queue, "postfix") || (tag.daemon != Daemon::by_text && tag.daemon != Daemon::other &&
                                   tag.daemon != Daemon::logger);
  tag.hash = hash64(queue, hash64(header_.host));
  tag.origin = origin_of(header_.host, instance, tag.hash);
}

/// The cached meaning of header_'s host and tag.
const Tag& PostfixParser::resolve_tag() {
  const std::string_view host = header_.host;
  const std::string_view name = header_.tag;
  const std::size_t size = host.size() + name.size();
  if (size > kTagBytesMax) {
    fill_tag(uncached_);
    return uncached_;
  }
  std::uint64_t word = size;
  if (name.size() >= 8) {
    word += load64(name.data() + name.size() - 8);
  } else {
    for (const char c : name) word = word * 257 + static_cast<unsigned char>(c);
  }
  Tag& tag = tags_[(word * 0x9E3779B97F4A7C15ull) >> 57];
  if (tag.size == size && tag.host_size == host.size() && tag.full == header_.full_tag &&
      equal_bytes(tag.bytes, host.data(), host.size()) &&
      equal_bytes(tag.bytes + host.size(), name.data(), name.size())) {
    return tag;
  }
  if (!host.empty()) std::memcpy(tag.bytes, host.data(), host.size());
  std::memcpy(tag.bytes + host.size(), name.data(), name.size());
  tag.host_size = static_cast<std::uint8_t>(host.size());
  tag.size = static_cast<std::uint8_t>(size);
  fill_tag(tag);
  return tag;
}

void PostfixParser::run() {
  const Block& block = *batch_.block;
  const char* const begin = block.data;
  const char* const end = begin + block.size;
  ParseCounts& counts = batch_.counts;
  for (const char* p = begin; p < end;) {
    const auto* newline =
        static_cast<const char*>(std::memchr(p, '\n', static_cast<std::size_t>(end - p)));
    const char* stop = newline != nullptr ? newline : end;
    const char* const next = newline != nullptr ? newline + 1 : end;
    line_offset_ = block.offset + static_cast<std::uint64_t>(p - begin);
    ++counts.lines;
    truncated_ = static_cast<std::size_t>(stop - p) > limits::kLineBytesMax;
    if (truncated_) {
      stop = p + limits::kLineBytesMax;
      ++counts.oversize;
    }
    const auto padding = static_cast<std::size_t>(end - stop) + limits::kBlockPadding;
    while (p < stop && *p == '\0') ++p;  // left by copytruncate
    if (p < stop && stop[-1] == '\r') --stop;
    count(line(between(p, stop), padding), line_offset_);
    p = next;
  }
  counts.bytes += block.size;
}

void PostfixParser::count(Outcome outcome, std::uint64_t offset) {
  switch (outcome) {
    case Outcome::used:
      break;
    case Outcome::ignored:
      ++batch_.counts.ignored;
      break;
    case Outcome::foreign:
      ++batch_.counts.foreign;
      break;
    case Outcome::unparsed:
      ++batch_.counts.unparsed;
      if (batch_.sample_unparsed < 0) batch_.sample_unparsed = static_cast<std::int64_t>(offset);
      break;
  }
}

/// "message repeated 3 times: [ TEXT]" of rsyslog: TEXT, else empty.
std::string_view repeated_message(std::string_view text) {
  if (!starts(text, "message repeated ")) return {};
  const auto open = text.find(" times: [");
  if (open == std::string_view::npos) return {};
  text.remove_prefix(open + 9);
  if (!text.empty() && text.back() == ']') text.remove_suffix(1);
  return trim(text);
}

std::string_view without_severity(std::string_view text) {
  if (starts(text, "warning: ")) return text.substr(9);
  if (starts(text, "error: ") || starts(text, "fatal: ") || starts(text, "panic: ")) {
    return text.substr(7);
  }
  return text;
}

/// The header of most lines: the last stamp again, a head seen before, "[PID]: TEXT". Sets time and
/// text of header_; nullptr when HeaderReader must read it.
BOUNCED_HOT const Tag* PostfixParser::usual_header(const char* p, const char* end) {
#if defined(__SSE2__)
  if (end - p < 48 || truncated_ || !scratch_.headers.read_usual_stamp(p, header_)) return nullptr;
  ++p;
  // At most 81 bytes from the line's first one: inside the line or the block's padding.
  const auto matches = [](const char* at, __m128i other) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    return static_cast<std::uint64_t>(
        static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, other))));
  };
  const __m128i open = _mm_set1_epi8('[');
  std::uint64_t found = matches(p, open) | matches(p + 16, open) << 16;
  if (found == 0) found = matches(p + 32, open) << 32;
  if (found == 0) return nullptr;
  const auto size = static_cast<std::size_t>(__builtin_ctzll(found));
  const Head& head = heads_[head_slot(p + size, size)];
  const auto same = [&](std::size_t at) {
    return matches(p + at, _mm_loadu_si128(reinterpret_cast<const __m128i*>(head.bytes + at)));
  };
  std::uint64_t equal = same(0) | same(16) << 16;
  if (size > 32) equal |= same(32) << 32;
  if (head.size != size || (~equal & ((std::uint64_t{1} << size) - 1)) != 0) return nullptr;
  p += size + 1;
  const std::uint64_t close = matches(p, _mm_set1_epi8(']'));
  if (close == 0) return nullptr;
  p += __builtin_ctzll(close);
  std::uint32_t word = 0;
  std::memcpy(&word, p, sizeof word);
  constexpr std::uint32_t kColon = ']' | ':' << 8 | ' ' << 16;
  const std::uint32_t next = word >> 24;
  if ((word & 0xFFFFFF) != kColon || next == ' ' || next == '[' || end - p < 4) return nullptr;
  header_.unescaped = false;
  header_.text = between(p + 3, end);
  return &head.tag;
#else
  (void)p;
  (void)end;
  return nullptr;
#endif
}

/// header_'s host and tag for usual_header(), where they stand in the line as it wants them.
void PostfixParser::remember_head(const Tag& tag) {
  if (header_.unescaped || !header_.full_tag || header_.host.empty()) return;
  const char* const begin = header_.host.data();
  const char* const end = header_.tag.data() + header_.tag.size();
  const auto size = static_cast<std::size_t>(end - begin);
  if (size > Head::kBytesMax || *end != '[') return;
  if (header_.stamp.data() + header_.stamp.size() + 1 != begin) return;  // "<mail.info>" between
  Head& head = heads_[head_slot(end, size)];
  std::memcpy(head.bytes, begin, size);
  head.size = static_cast<std::uint8_t>(size);
  head.tag = tag;
}

PostfixParser::Outcome PostfixParser::line(std::string_view text, std::size_t padding) {
  const Tag* known = usual_header(text.data(), text.data() + text.size());
  if (known == nullptr) {
    home_ = nullptr;
    if (!scratch_.headers.read(text, padding, header_)) return Outcome::foreign;
    known = &resolve_tag();
    remember_head(*known);
  }
  const Tag& tag = *known;
  if (tag.daemon == Daemon::logger) {
    const std::uint64_t lost = lost_messages(header_.text);
    batch_.counts.lost_messages += lost;
    return lost != 0 ? Outcome::ignored : Outcome::foreign;
  }
  if (tag.daemon == Daemon::quiet) return Outcome::ignored;
  const char* const text_begin = header_.text.data();
  return message(tag, text_begin, text_begin + header_.text.size());
}

PostfixParser::Outcome PostfixParser::message(const Tag& tag, const char* p, const char* end) {
  std::size_t id_size = queue_id_size(p, end);
  if (id_size == 0) {
    const std::string_view text = between(p, end);
    const std::string_view repeated = repeated_message(text);
    const std::string_view bare = without_severity(repeated.empty() ? text : repeated);
    p = bare.data();
    end = p + bare.size();
    id_size = queue_id_size(p, end);
    if (id_size == 0) return tag.ours ? Outcome::ignored : Outcome::foreign;
  }
  const char* const rest = p + id_size + 2;
  if (may_deliver(tag.daemon) && starts(rest, end, "to=<")) {
    return delivery(tag, between(p, p + id_size), between(rest, end));
  }
  return remark(tag, between(p, p + id_size), between(rest, end));
}

BOUNCED_HOT void PostfixParser::add_note(const Tag& tag, std::string_view queue_id, NoteKind kind,
                                         std::string_view text, std::uint32_t number) {
  Note note;
  note.time_us = header_.time_us;
  note.queue_key = queue_key(queue_id, tag);
  note.offset = line_offset_;
  note.text = text_of(text);
  note.before_event = static_cast<std::uint32_t>(batch_.events.size());
  note.number = number;
  note.origin = tag.origin;
  note.kind = kind;
  note.time_form = header_.time_form;
  batch_.notes.push_back(note);
}

PostfixParser::Outcome PostfixParser::remark(const Tag& tag, std::string_view queue_id,
                                             std::string_view text) {
  if (tag.daemon == Daemon::qmgr && padded()) {
    const char* const p = text.data();
    if (text.size() == 7 && equal_bytes(p, "removed", 7)) {
      add_note(tag, queue_id, NoteKind::removed, {}, 0);
      return Outcome::used;
    }
    std::string_view sender;
    std::uint32_t recipients = 0;
    if (read_usual_begin(p, p + text.size(), sender, recipients)) {
      add_note(tag, queue_id, NoteKind::begin, sender, recipients);
      return Outcome::used;
    }
  }
  RemarkLine found;
  read_remark(tag.daemon, text, context_.campaign_header, found);
  NoteKind kind = NoteKind::begin;
  switch (found.remark) {
    case Remark::none:
      return tag.ours ? Outcome::ignored : Outcome::foreign;
    case Remark::begin:
      break;
    case Remark::expired:
      kind = NoteKind::expired;
      break;
    case Remark::removed:
      kind = NoteKind::removed;
      break;
    case Remark::message_id:
      kind = NoteKind::message_id;
      break;
    case Remark::client:
      kind = NoteKind::client;
      break;
    case Remark::sasl_user:
      kind = NoteKind::sasl_user;
      break;
    case Remark::campaign:
      kind = NoteKind::campaign;
      break;
    case Remark::notification:
      kind = NoteKind::notification;
      break;
    case Remark::mx_failure:
      kind = NoteKind::mx_failure;
      break;
  }
  add_note(tag, queue_id, kind, found.text, found.number);
  return Outcome::used;
}

EventKind PostfixParser::kind_of_sent(const Tag& tag, const Delivery& delivery,
                                      const Relay& relay) const {
  switch (tag.daemon) {
    case Daemon::discard:
      return EventKind::discarded;
    case Daemon::lmtp:
      return relay.configured ? EventKind::relayed : EventKind::delivered;
    default:
      break;
  }
  if (starts(delivery.reason, "forwarded as ")) return EventKind::relayed;
  if (delivery.reason == "delivered to file: /dev/null") return EventKind::discarded;
  if (relay.host.empty() && delivery.relay == "none") return EventKind::discarded;
  if (relay.socket) return relay.configured ? EventKind::relayed : EventKind::delivered;
  // Port 24 is LMTP's (RFC 2033 section 5 leaves it to the site; Postfix's default is 24).
  const bool local_lmtp = tag.daemon != Daemon::smtp && relay.port == 24;
  if (relay.configured || relay.submission || (relay.loopback && !local_lmtp)) {
    return EventKind::relayed;
  }
  return EventKind::delivered;
}

void PostfixParser::fill_remote(const Tag& tag, const Delivery& delivery, Event& event) {
  const Relay& relay = relays_.read(delivery.relay, !header_.unescaped);
  event.mta_host = text_of(relay.host);
  event.mta_ip = text_of(relay.ip);
  event.mta_port = relay.port;
  if (delivery.status != Status::sent) return;
  event.kind = kind_of_sent(tag, delivery, relay);
  event.diagnostic = text_of(delivery.reason);
  event.smtp_code = reply_code(delivery.reason);
}

void PostfixParser::fill_failure(const Tag& tag, const Delivery& delivery, Event& event) {
  const Reason reason = read_reason(delivery.reason, delivery.enhanced);
  event.diagnostic = text_of(reason.diagnostic);
  event.smtp_code = reason.smtp_code;
  event.phase = reason.phase;
  // Where Postfix rewrote the class (soft_bounce, a 5xx greeting), the reply's own code is true.
  const EnhancedCode own = reason.enhanced;
  if (own.present() && own.klass == reason.smtp_code / 100 &&
      (!event.enhanced.present() ||
       (own.klass != event.enhanced.klass && own.subject == event.enhanced.subject &&
        own.detail == event.enhanced.detail))) {
    event.enhanced = own;
  }
  if (event.mta_host.empty() && !reason.server.empty()) {
    const Relay server = split_relay(reason.server);
    event.mta_host = text_of(server.host);
    event.mta_ip = text_of(server.ip);
    event.mta_port = server.port;
  }
  switch (delivery.status) {
    case Status::bounced:
      event.kind = EventKind::bounced;
      break;
    case Status::expired:
      event.kind = EventKind::expired;
      break;
    case Status::softbounce:
      event.flags |= EventFlags::kSoftBounce;
      [[fallthrough]];
    case Status::deferred:
      event.kind = EventKind::deferred;
      break;
    default:
      event.kind = EventKind::probed;
      break;
  }
  if (event.kind == EventKind::bounced && has_suppression_marker(delivery.reason, event.enhanced)) {
    event.kind = EventKind::suppressed;
  }
  if (event.kind != EventKind::deferred) return;
  if (reason.not_attempted || (tag.daemon == Daemon::error && delivery.relay == "none")) {
    event.flags |= EventFlags::kNotAttempted;
  }
  if (reason.session) event.flags |= EventFlags::kSession;
}

PostfixParser::Outcome PostfixParser::delivery(const Tag& tag, std::string_view queue_id,
                                               std::string_view text) {
  Delivery found;
  const bool usual = padded() && read_usual_delivery(text.data(), text.data() + text.size(), found);
  if (!usual && !read_delivery(text, found)) {
    return tag.ours || tag.daemon == Daemon::by_text ? Outcome::unparsed : Outcome::foreign;
  }
  batch_.events.push_back(*kNoEvent);
  Event& event = batch_.events.back();
  if (context_.hasher != nullptr &&
      !context_.hasher->ids(found.to, event.recipient_id, event.domain_id)) {
    batch_.events.pop_back();
    ++batch_.counts.bad_recipient;
    return Outcome::ignored;
  }
  const Block& block = *batch_.block;
  const std::uint64_t identity[3] = {block.file, line_offset_, 0};
  event.id = hash64_inline(identity, sizeof identity, 0);
  event.time_us = header_.time_us;
  event.time_form = header_.time_form;
  event.offset = line_offset_;
  event.source = block.source;
  event.format = static_cast<std::uint8_t>(block.format < 0 ? 0 : block.format);
  event.origin = tag.origin;
  event.queue_key = queue_key(queue_id, tag);
  event.queue_id = text_of(queue_id);
  event.recipient = text_of(found.to);
  event.delay_ms = found.delay_ms;
  event.enhanced = found.enhanced;
  if (found.truncated || truncated_) event.flags |= EventFlags::kTruncated;
  fill_remote(tag, found, event);
  if (found.status != Status::sent) fill_failure(tag, found, event);
  return Outcome::used;
}

void add_field(std::vector<Field>& fields, std::string name, std::string_view value) {
  if (!value.empty()) fields.push_back({std::move(name), std::string(value)});
}

void add_delivery_fields(std::vector<Field>& fields, std::string_view text) {
  Delivery found;
  DeliveryDetails more;
  const bool whole = read_delivery(text, found, &more);
  add_field(fields, "to", found.to);
  add_field(fields, "orig_to", more.orig_to);
  add_field(fields, "relay", found.relay);
  add_field(fields, "conn_use", more.conn_use);
  add_field(fields, "delay", more.delay);
  add_field(fields, "delays", more.delays);
  add_field(fields, "dsn", more.dsn);
  add_field(fields, "status", more.word);
  add_field(fields, "reason", found.reason);
  if (!whole) add_field(fields, "error", "not a whole delivery line");
  if (found.truncated) add_field(fields, "truncated", "the closing parenthesis is missing");
}

}  // namespace

void parse_postfix(const Context& context, Batch& batch) {
  PostfixParser(context, batch).run();
}

int probe_postfix(std::string_view head) {
  HeaderReader reader;
  Header header;
  std::size_t syslog = 0;
  std::size_t hits = 0;
  for (std::size_t at = 0, lines = 0; at < head.size() && lines < 500; ++lines) {
    const auto newline = head.find('\n', at);
    std::string_view line =
        head.substr(at, newline == std::string_view::npos ? newline : newline - at);
    at = newline == std::string_view::npos ? head.size() : newline + 1;
    while (!line.empty() && line.front() == '\0') line.remove_prefix(1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || !reader.read(line, 0, header)) continue;
    ++syslog;
    const Daemon daemon = daemon_of_tag(header.tag, header.full_tag);
    if (daemon == Daemon::logger) continue;
    if (starts(header.tag, "postfix") || (daemon != Daemon::by_text && daemon != Daemon::other)) {
      ++hits;
      continue;
    }
    const char* const p = header.text.data();
    const char* const end = p + header.text.size();
    const std::size_t id = queue_id_size(p, end);
    if (id != 0 && (starts(p + id + 2, end, "to=<") || starts(p + id + 2, end, "from=<"))) ++hits;
  }
  if (syslog == 0) return -1;
  // A log with a syslog header may be ours though its head is other programs' lines.
  return hits == 0 ? 5 : 60 + static_cast<int>(hits * 40 / syslog);
}

std::vector<Field> explain_postfix(const Context& context, std::string_view line) {
  std::vector<Field> fields;
  HeaderReader reader;
  Header header;
  if (!reader.read(line, 0, header)) return fields;
  add_field(fields, "time", header.stamp);
  add_field(fields, "host", header.host);
  add_field(fields, "instance", tag_instance(header.tag));
  add_field(fields, "daemon", tag_daemon(header.tag));
  add_field(fields, "pid", header.pid);
  std::string_view text = header.text;
  const std::string_view repeated = repeated_message(text);
  if (!repeated.empty()) text = repeated;
  const std::string_view bare = without_severity(text);
  if (bare.size() < text.size()) {
    add_field(fields, "severity", text.substr(0, text.find(':')));
    text = bare;
  }
  const Daemon daemon = daemon_of_tag(header.tag, header.full_tag);
  const std::size_t id = queue_id_size(text.data(), text.data() + text.size());
  if (id == 0) {
    add_field(fields, "text", text);
    return fields;
  }
  add_field(fields, "queue_id", text.substr(0, id));
  text.remove_prefix(id + 2);
  if (may_deliver(daemon) && starts(text, "to=<")) {
    add_delivery_fields(fields, text);
    return fields;
  }
  RemarkLine remark;
  read_remark(daemon, text, context.campaign_header, remark);
  switch (remark.remark) {
    case Remark::begin:
      fields.push_back({"from", std::string(remark.text)});
      fields.push_back({"nrcpt", std::to_string(remark.number)});
      break;
    case Remark::message_id:
      add_field(fields, "message_id", remark.text);
      break;
    case Remark::client:
      add_field(fields, "client", remark.text);
      break;
    case Remark::sasl_user:
      add_field(fields, "sasl_username", remark.text);
      break;
    case Remark::campaign:
      add_field(fields, "campaign", remark.text);
      break;
    case Remark::notification:
      add_field(fields, "notification", remark.text);
      break;
    case Remark::mx_failure:
      add_field(fields, "mx_failure", remark.text);
      break;
    case Remark::expired:
    case Remark::removed:
    case Remark::none:
      add_field(fields, "text", text);
      break;
  }
  return fields;
}

}  // namespace bounced::parse
