#include "parse/postfix.h"

#include <unordered_map>

#include "base/hash.h"
#include "base/hash_inline.h"
#include "base/message.h"
#include "base/text.h"
#include "parse/head.h"
#include "parse/header.h"
#include "parse/line_ends.h"
#include "parse/local_finder.h"
#include "parse/name_slots.h"
#include "parse/postfix_line.h"
#include "parse/postfix_reason.h"
#include "parse/relay.h"
#include "parse/scan.h"
#include "parse/usual.h"

namespace bounced::parse {
namespace {

constexpr std::size_t kOriginsMax = 65'000;  // Event::origin is 16 bits

/// Never 0. Long and short ids have one size each; knowing it spares the hash its branches.
BOUNCED_HOT std::uint64_t queue_key(std::string_view id, const Tag& tag) {
  const std::uint64_t key =
      id.size() == 16 ? hash64_inline(id.data(), 16, tag.hash) : hash64(id, tag.hash);
  return key == 0 ? 1 : key;
}

/// Copied, not constructed: g++ zeroes 192 bytes by `rep stos`, whose start costs 20 ns; twelve
/// vector moves cost 3. The pointer is volatile so that it does not see through this.
const Event kZeroEvent;
const Event* volatile kNoEvent = &kZeroEvent;

/// Kept per thread between batches: buffers only, no state that a batch could see.
struct Scratch {
  HeaderReader headers;
  LineEnds ends;
  std::unordered_map<std::uint64_t, std::uint16_t> origins;
  NameTable domains;  ///< normalised
  NameTable hosts;
  LocalFinder local;
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
    scratch_.domains.start();
    scratch_.hosts.start();
    scratch_.local.start();
  }

  void run();

 private:
  enum class Outcome : std::uint8_t { used, ignored, unparsed, foreign };

  void any_line(const Tag* known, const char* text);
  Outcome line(std::string_view line, std::size_t padding);
  Outcome told(const Tag& tag);
  struct Ahead;
  std::size_t look_ahead();
  void ahead_line(const Ahead& ahead);
  const Tag* usual_header(const char*& p);
  bool usual_text(const Tag& tag, const char* p);
  bool usual_talk(const Tag& tag, const char* p);
  bool usual_remark(const Tag& tag, std::string_view queue_id, const char* rest);
  /// The line has a newline and is not over the limit.
  [[nodiscard]] bool whole() const {
    return newline_ != nullptr &&
           static_cast<std::size_t>(newline_ - line_) <= limits::kLineBytesMax;
  }
  void remember_head(const Tag& tag);
  void add_note(const Tag& tag, std::string_view queue_id, NoteKind kind, std::string_view text,
                std::uint32_t number, std::uint64_t text_key);
  Outcome message(const Tag& tag, const char* p, const char* end);
  Outcome delivery(const Tag& tag, std::string_view queue_id, std::string_view text);
  bool deliver(const Tag& tag, std::string_view queue_id, const Delivery& found);
  Outcome remark(const Tag& tag, std::string_view queue_id, std::string_view text);
  bool fill_recipient(const Delivery& found, NormalisedAddress& room, std::string_view& domain,
                      Event& event);
  void fill_remote(const Tag& tag, const Delivery& delivery, Event& event);
  void fill_failure(const Tag& tag, const Delivery& delivery, Event& event);
  void fill_domain(const Name& name, const Delivery& found, Event& event);
  std::uint16_t number_of_host(const Name& host, Text text);
  EventKind kind_of_sent(const Tag& tag, const Delivery& delivery, const Relay& relay) const;
  const Tag& resolve_tag();
  void fill_tag(Tag& tag);
  std::uint16_t origin_of(std::string_view host, std::string_view instance, std::uint64_t hash);
  Text arena_text(std::string_view bytes);
  /// The Text of bytes of this line.
  BOUNCED_HOT Text text_of(std::string_view bytes) {
    if (header_.unescaped) [[unlikely]] {
      return bytes.empty() ? Text{} : arena_text(bytes);
    }
    return {bytes.empty() ? 0 : static_cast<std::uint32_t>(bytes.data() - base_),
            static_cast<std::uint32_t>(bytes.size())};
  }
  /// The message lies in the block, which has readable bytes behind it and ends in a newline.
  [[nodiscard]] bool padded() const { return !header_.unescaped && !truncated_; }
  [[nodiscard]] std::uint64_t line_offset() const {
    return batch_.block->offset + static_cast<std::uint64_t>(line_ - base_);
  }
  void count(Outcome outcome);

  const Context& context_;
  Batch& batch_;
  RelayReader relays_;
  Scratch& scratch_;
  Header header_;
  const char* const base_;  ///< the block's data
  const char* line_ = nullptr;
  const char* newline_ = nullptr;  ///< of the line; nullptr: the block ends without one
  const char* home_ = nullptr;     ///< of the message in the arena, once it is there
  std::uint32_t home_offset_ = 0;
  bool truncated_ = false;  ///< by the line limit
  /// Lines whose headers are read before the first one's text: which kind of line comes next is
  /// nobody's guess, and a wrong one costs less the sooner it is found out.
  static constexpr std::size_t kAhead = 32;
  struct Ahead {
    const char* newline;
    const char* text;
    const Tag* tag;
    std::int64_t time_us;
    TimeForm time_form;
  };
  Ahead ahead_[kAhead];
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
  const char* const end = base_ + block.size;
  scratch_.ends.start(block.text());
  for (line_ = base_; line_ < end;) {
    const char* const first = line_;
    const std::size_t ahead = look_ahead();
    const char* const newline = newline_;
    line_ = first;
    for (std::size_t i = 0; i < ahead; ++i) ahead_line(ahead_[i]);
    batch_.counts.lines += ahead;
    if (ahead == kAhead || line_ == end) continue;
    newline_ = newline;  // of a line that has no usual header
    any_line(nullptr, line_);
    ++batch_.counts.lines;
    line_ = newline == nullptr ? end : newline + 1;
  }
  batch_.counts.bytes += block.size;
  scratch_.local.finish(batch_);
}

/// Reads usual headers from line_ on, which moves behind their lines; returns how many there are.
/// newline_ is then that of line_, unless all kAhead are read or the block is.
BOUNCED_HOT std::size_t PostfixParser::look_ahead() {
  const char* const end = base_ + batch_.block->size;
  std::size_t ahead = 0;
  for (; ahead < kAhead && line_ < end; ++ahead) {
    newline_ = scratch_.ends.next();
    const char* text = line_;
    const Tag* const tag = whole() ? usual_header(text) : nullptr;
    if (tag == nullptr) break;
    ahead_[ahead] = {newline_, text, tag, header_.time_us, header_.time_form};
    line_ = newline_ + 1;
  }
  return ahead;
}

/// The line at line_, whose header was read ahead; line_ moves behind it.
BOUNCED_HOT void PostfixParser::ahead_line(const Ahead& ahead) {
  newline_ = ahead.newline;
  header_.time_us = ahead.time_us;
  header_.time_form = ahead.time_form;
  if (!usual_text(*ahead.tag, ahead.text)) any_line(ahead.tag, ahead.text);
  line_ = newline_ + 1;
}

/// The line at line_, whose header may be `known` and its text found.
void PostfixParser::any_line(const Tag* known, const char* text) {
  const char* const end = base_ + batch_.block->size;
  const char* p = line_;
  const char* stop = newline_ != nullptr ? newline_ : end;
  truncated_ = static_cast<std::size_t>(stop - p) > limits::kLineBytesMax;
  if (truncated_) {
    stop = p + limits::kLineBytesMax;
    ++batch_.counts.oversize;
  }
  const auto padding = static_cast<std::size_t>(end - stop) + limits::kBlockPadding;
  while (p < stop && *p == '\0') ++p;  // left by copytruncate
  if (p < stop && stop[-1] == '\r') --stop;
  if (known != nullptr) {
    header_.text = between(text, stop);
    count(told(*known));
  } else {
    count(line(between(p, stop), padding));
  }
  truncated_ = false;
}

void PostfixParser::count(Outcome outcome) {
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
      if (batch_.sample_unparsed < 0) {
        batch_.sample_unparsed = static_cast<std::int64_t>(line_offset());
      }
      break;
  }
}

/// The header of most lines: the last stamp again, a head seen before, "[PID]: TEXT". Sets the time
/// of header_ and moves p to the text; nullptr when HeaderReader must read it.
BOUNCED_HOT const Tag* PostfixParser::usual_header(const char*& p) {
#if defined(__SSE2__)
  if (newline_ - p < 48 || !scratch_.headers.read_usual_stamp(p, header_)) return nullptr;
  ++p;
  // At most 97 bytes from the line's first one: inside the block or its padding.
  std::uint64_t found = Bytes<32>(p).is('[');
  if (found == 0) found = Bytes<16>(p + 32).is('[') << 32;
  if (found == 0) return nullptr;
  const auto size = static_cast<std::size_t>(__builtin_ctzll(found));
  const Head& head = heads_[head_slot(p + size, size)];
  const auto same = [&](std::size_t at) {
    const auto load = [&](const char* from) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at));
    };
    return static_cast<std::uint64_t>(
               static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(load(p), load(head.bytes)))))
           << at;
  };
  std::uint64_t equal = same(0) | same(16);
  if (size > 32) equal |= same(32);
  if (head.size != size || (~equal & ((std::uint64_t{1} << size) - 1)) != 0) return nullptr;
  p += size + 1;
  const std::uint64_t close = Bytes<16>(p).is(']');
  if (close == 0) return nullptr;
  p += __builtin_ctzll(close);
  const std::uint32_t word = load32(p);
  const std::uint32_t next = word >> 24;
  if ((word & 0xFFFFFF) != (word4("]:  ") & 0xFFFFFF) || p + 3 >= newline_) return nullptr;
  if (next == ' ' || next == '[') return nullptr;
  p += 3;
  header_.unescaped = false;
  return &head.tag;
#else
  (void)p;
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

PostfixParser::Outcome PostfixParser::line(std::string_view line, std::size_t padding) {
  home_ = nullptr;
  if (!scratch_.headers.read(line, padding, header_)) return Outcome::foreign;
  const Tag& tag = resolve_tag();
  remember_head(tag);
  if (padded() && newline_ != nullptr && usual_text(tag, header_.text.data())) return Outcome::used;
  return told(tag);
}

/// What header_'s text tells, whatever it looks like.
PostfixParser::Outcome PostfixParser::told(const Tag& tag) {
  if (tag.daemon == Daemon::logger) {
    const std::uint64_t lost = lost_messages(header_.text);
    batch_.counts.lost_messages += lost;
    return lost != 0 ? Outcome::ignored : Outcome::foreign;
  }
  if (tag.daemon == Daemon::quiet) return Outcome::ignored;
  const char* const text_begin = header_.text.data();
  return message(tag, text_begin, text_begin + header_.text.size());
}

/// A line of smtpd(8), or of a program that is of no interest, as usual_text().
BOUNCED_HOT bool PostfixParser::usual_talk(const Tag& tag, const char* p) {
  if (tag.daemon == Daemon::smtpd) {
    const std::uint64_t word = load64(p);
    if (word != word8("connect ") && word != word8("disconne")) {
      const std::size_t id_size = queue_id_size(p, newline_);
      return id_size != 0 && usual_remark(tag, {p, id_size}, p + id_size + 2);
    }
  } else if (tag.daemon != Daemon::quiet) {
    return false;
  }
  count(Outcome::ignored);
  return true;
}

/// What follows the queue id when it is no delivery, as usual_text().
bool PostfixParser::usual_remark(const Tag& tag, std::string_view queue_id, const char* rest) {
  if (newline_[-1] == '\r') return false;
  count(remark(tag, queue_id, between(rest, newline_)));
  return true;
}

/// The event or note of a whole line, when its text at p has a usual shape; else nothing was done.
BOUNCED_HOT bool PostfixParser::usual_text(const Tag& tag, const char* p) {
  if (tag.daemon >= Daemon::smtpd) return usual_talk(tag, p);
  if (!may_deliver(tag.daemon)) return false;
  const std::size_t id_size = queue_id_size(p, newline_);
  if (id_size == 0) return false;
  const std::string_view queue_id(p, id_size);
  const char* const rest = p + id_size + 2;
  if (load32(rest) == word4("to=<")) {
    Delivery found;
    return read_usual_delivery(rest, newline_, found) && deliver(tag, queue_id, found);
  }
  if (tag.daemon == Daemon::cleanup) return usual_remark(tag, queue_id, rest);
  if (tag.daemon != Daemon::qmgr) return false;
  if (load64(rest) == word8("removed\n")) {
    add_note(tag, queue_id, NoteKind::removed, {}, 0, 0);
    return true;
  }
  Begin begin;
  if (!read_usual_begin(rest, newline_, begin)) return false;
  // Here, while its bytes are near: the block is larger than the nearest caches.
  const std::uint64_t key =
      begin.at == nullptr
          ? domain_key(begin.sender)
          : domain_name_key(between(begin.at + 1, begin.sender.data() + begin.sender.size()), true);
  add_note(tag, queue_id, NoteKind::begin, begin.sender, begin.recipients, key);
  return true;
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

void PostfixParser::add_note(const Tag& tag, std::string_view queue_id, NoteKind kind,
                             std::string_view text, std::uint32_t number, std::uint64_t text_key) {
  Note& note = batch_.notes.emplace_back();  // in place: copying bytes just written stalls
  note.time_us = header_.time_us;
  note.queue_key = queue_key(queue_id, tag);
  note.offset = line_offset();
  note.text = text_of(text);
  note.text_key = text_key;
  note.before_event = static_cast<std::uint32_t>(batch_.events.size());
  note.number = number;
  note.origin = tag.origin;
  note.kind = kind;
  note.time_form = header_.time_form;
  batch_.times.see(note.time_us, note.time_form);
  scratch_.local.note(batch_, note);
}

PostfixParser::Outcome PostfixParser::remark(const Tag& tag, std::string_view queue_id,
                                             std::string_view text) {
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
  std::uint64_t text_key = 0;
  if (kind == NoteKind::begin) text_key = domain_key(found.text);
  if (kind == NoteKind::message_id && usable_id(found.text)) {
    text_key = message_fingerprint(found.text);
  }
  add_note(tag, queue_id, kind, found.text, found.number, text_key);
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
  // Most reasons are a server's reply, which begins with its code; Postfix's own words do not.
  if (relay.host.empty() || delivery.reason.empty() || !is_digit(delivery.reason[0])) {
    if (starts(delivery.reason, "forwarded as ")) return EventKind::relayed;
    if (delivery.reason == "delivered to file: /dev/null") return EventKind::discarded;
    if (relay.host.empty() && delivery.relay == "none") return EventKind::discarded;
  }
  if (relay.socket) return relay.configured ? EventKind::relayed : EventKind::delivered;
  // Port 24 is LMTP's (RFC 2033 section 5 leaves it to the site; Postfix's default is 24).
  const bool local_lmtp = tag.daemon != Daemon::smtp && relay.port == 24;
  if (relay.configured || relay.submission || (relay.loopback && !local_lmtp)) {
    return EventKind::relayed;
  }
  return EventKind::delivered;
}

void PostfixParser::fill_remote(const Tag& tag, const Delivery& delivery, Event& event) {
  const Relay& relay = delivery.ip.empty() ? relays_.read(delivery.relay, !header_.unescaped)
                                           : relays_.read_parts(delivery.relay, delivery.ip);
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

/// The domain's id and number: listed now if it was not. 0 = no domain, or there is no room.
/// `name` is normalised, so that equal names are equal ids.
BOUNCED_HOT void PostfixParser::fill_domain(const Name& name, const Delivery& found, Event& event) {
  const auto same_long = [&](std::uint16_t number) {
    return batch_.domains[number - 1u].id == context_.hasher->domain_id(name.text);
  };
  event.domain = name.text.empty() ? std::uint16_t{0} : scratch_.domains.find(name, same_long);
  if (event.domain != 0) {
    event.domain_id = batch_.domains[event.domain - 1u].id;
    return;
  }
  event.domain_id = context_.hasher->domain_id(name.text);
  if (name.text.empty() || !scratch_.domains.has_room() ||
      batch_.domains.size() >= NameSlots::kNamesMax) {
    return;
  }
  const std::string_view raw = found.to_at != 0 ? name.text : raw_domain(found.to);
  batch_.domains.push_back({event.domain_id, text_of(raw)});
  event.domain = static_cast<std::uint16_t>(batch_.domains.size());
  scratch_.domains.add(name, event.domain);
}

/// The host's number by its bytes: listed now if it was not. 0 = no host, or there is no room.
BOUNCED_HOT std::uint16_t PostfixParser::number_of_host(const Name& name, Text text) {
  if (name.text.empty()) return 0;
  const auto same_long = [&](std::uint16_t number) {
    return batch_.view(batch_.hosts[number - 1u]) == name.text;
  };
  const std::uint16_t known = scratch_.hosts.find(name, same_long);
  if (known != 0) return known;
  if (!scratch_.hosts.has_room() || batch_.hosts.size() >= NameSlots::kNamesMax) return 0;
  batch_.hosts.push_back(text);
  scratch_.hosts.add(name, batch_.hosts.size());
  return static_cast<std::uint16_t>(batch_.hosts.size());
}

PostfixParser::Outcome PostfixParser::delivery(const Tag& tag, std::string_view queue_id,
                                               std::string_view text) {
  Delivery found;
  if (!read_delivery(text, found)) {
    return tag.ours || tag.daemon == Daemon::by_text ? Outcome::unparsed : Outcome::foreign;
  }
  if (deliver(tag, queue_id, found)) return Outcome::used;
  ++batch_.counts.bad_recipient;
  return Outcome::ignored;
}

/// The recipient's id, and its domain in normal form, which `room` may hold; false when it is no
/// address.
BOUNCED_HOT bool PostfixParser::fill_recipient(const Delivery& found, NormalisedAddress& room,
                                               std::string_view& domain, Event& event) {
  if (context_.hasher == nullptr) return true;
  if (found.to_at != 0) {
    event.recipient_id = context_.hasher->normal_id(found.to);
    domain = found.to.substr(found.to_at + 1);
    return true;
  }
  if (!context_.hasher->address(found.to, room, event.recipient_id)) return false;
  domain = room.domain();
  return true;
}

/// Adds the event; false when the recipient is no address.
bool PostfixParser::deliver(const Tag& tag, std::string_view queue_id, const Delivery& found) {
  batch_.events.push_back(*kNoEvent);
  Event& event = batch_.events.back();
  NormalisedAddress normal;
  std::string_view normal_domain;
  if (!fill_recipient(found, normal, normal_domain, event)) {
    batch_.events.pop_back();
    return false;
  }
  if (context_.hasher != nullptr) fill_domain(Name(normal_domain, found.to_at != 0), found, event);
  const Block& block = *batch_.block;
  const std::uint64_t identity[3] = {block.file, line_offset(), 0};
  event.id = hash64_inline(identity, sizeof identity, 0);
  event.time_us = header_.time_us;
  event.time_form = header_.time_form;
  event.offset = line_offset();
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
  event.host =
      number_of_host(Name(batch_.view(event.mta_host), !header_.unescaped), event.mta_host);
  batch_.times.see(event.time_us, event.time_form);
  scratch_.local.event(batch_, event);
  return true;
}

}  // namespace

void parse_postfix(const Context& context, Batch& batch) {
  PostfixParser(context, batch).run();
}

}  // namespace bounced::parse
