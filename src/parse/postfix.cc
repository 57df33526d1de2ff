#include "parse/postfix.h"

#include "base/message.h"
#include "base/text.h"
#include "parse/postfix_parser.h"
#include "parse/postfix_reason.h"

namespace bounced::parse {
namespace {

Scratch& scratch() {
  thread_local Scratch instance;
  return instance;
}

}  // namespace

PostfixParser::PostfixParser(const Context& context, Batch& batch)
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
  tag.ours = starts(queue, "postfix") || is_postfix(tag.daemon);
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

/// The line at line_, whose header may be `known` and its text found.
void PostfixParser::any_line(const Tag* known, const char* text) {
  const char* const end = base_ + batch_.block->size;
  const char* stop = newline_ != nullptr ? newline_ : end;
  // Left by copytruncate or a crash. The line is told to be behind them, as when ingest has skipped
  // them at a block's begin, and they do not count towards its limit.
  while (line_ < stop && *line_ == '\0') ++line_;
  const char* const p = line_;
  truncated_ = static_cast<std::size_t>(stop - p) > limits::kLineBytesMax;
  if (truncated_) {
    stop = p + limits::kLineBytesMax;
    ++batch_.counts.oversize;
  }
  const auto padding = static_cast<std::size_t>(end - stop) + limits::kBlockPadding;
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
  count_line(batch_, outcome, line_offset());
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
  if (padded() && newline_ != nullptr && usual_text_behind(tag, header_.text.data()))
    return Outcome::used;
  return told(tag);
}

void PostfixParser::take(const Header& header, const char* line) {
  header_ = header;
  header_.unescaped = true;
  home_ = nullptr;
  line_ = line;
  newline_ = nullptr;
  truncated_ = false;
  count(told(resolve_tag()));
}

/// What header_'s text tells, whatever it looks like.
PostfixParser::Outcome PostfixParser::told(const Tag& tag) {
  if (tag.daemon == Daemon::logger) {
    const LossReport loss = read_loss(header_.text);
    batch_.counts.lost_messages += loss.messages;
    batch_.counts.loss_alarms += loss.alarm ? 1 : 0;
    return loss.alarm ? Outcome::ignored : Outcome::foreign;
  }
  if (tag.daemon == Daemon::quiet) return Outcome::ignored;
  if (tag.daemon == Daemon::foreign) return Outcome::foreign;
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

void PostfixParser::add_note(const Tag& tag, std::string_view queue_id, NoteKind kind,
                             std::string_view text, std::uint32_t number, std::uint64_t text_key) {
  const Note& note = new_note(tag, queue_id, kind, text_of(text), number, text_key);
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

/// Whether mail that this host takes is only passed on.
bool PostfixParser::passes_on(const Tag& tag, const Relay& relay) {
  if (tag.daemon == Daemon::lmtp || relay.socket) return relay.configured;
  // Port 24 is LMTP's (RFC 2033 section 5 leaves it to the site; Postfix's default is 24).
  const bool local_lmtp = tag.daemon != Daemon::smtp && relay.port == 24;
  return relay.configured || relay.submission || (relay.loopback && !local_lmtp);
}

EventKind PostfixParser::kind_of_sent(const Tag& tag, const Delivery& delivery,
                                      const Relay& relay) const {
  switch (tag.daemon) {
    case Daemon::discard:
      return EventKind::discarded;
    case Daemon::lmtp:
      return passes_on(tag, relay) ? EventKind::relayed : EventKind::delivered;
    default:
      break;
  }
  // Most reasons are a server's reply, which begins with its code; Postfix's own words do not.
  if (relay.host.empty() || delivery.reason.empty() || !is_digit(delivery.reason[0])) {
    if (starts(delivery.reason, "forwarded as ")) return EventKind::relayed;
    if (delivery.reason == "delivered to file: /dev/null") return EventKind::discarded;
    if (relay.host.empty() && delivery.relay == "none") return EventKind::discarded;
  }
  return passes_on(tag, relay) ? EventKind::relayed : EventKind::delivered;
}

void PostfixParser::fill_remote(const Tag& tag, const Delivery& delivery, Event& event) {
  const Relay& relay = delivery.ip.empty() ? relays_.read(delivery.relay, !header_.unescaped)
                                           : relays_.read_parts(delivery.relay, delivery.ip);
  event.mta_host = text_of(relay.host);
  event.mta_ip = text_of(relay.ip);
  event.mta_port = relay.port;
  if (delivery.status != Status::sent) {
    if (passes_on(tag, relay)) event.flags |= EventFlags::kRelay;
    return;
  }
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
    const Relay& server = relays_.read(reason.server, false);
    if (passes_on(tag, server)) event.flags |= EventFlags::kRelay;
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
  if (!read_delivery(text, found)) {
    return tag.ours || tag.daemon == Daemon::by_text ? Outcome::unparsed : Outcome::foreign;
  }
  if (deliver(tag, queue_id, found)) return Outcome::used;
  ++batch_.counts.bad_recipient;
  return Outcome::ignored;
}

/// The recipient's id, and its domain in normal form, which `room` may hold; false when it is no
/// address.
bool PostfixParser::find_recipient(const Delivery& found, NormalisedAddress& room,
                                   std::string_view& domain, AddressId& id) const {
  if (context_.hasher == nullptr) return true;
  if (found.to_at != 0) {
    id = context_.hasher->normal_id(found.to);
    domain = found.domain();
    return true;
  }
  if (!context_.hasher->address(found.to, room, id)) return false;
  domain = room.domain();
  return true;
}

/// Adds the event; false when the recipient is no address.
bool PostfixParser::deliver(const Tag& tag, std::string_view queue_id, const Delivery& found) {
  NormalisedAddress normal;
  std::string_view domain;
  AddressId recipient_id;
  if (!find_recipient(found, normal, domain, recipient_id)) return false;
  Event& event = new_event();
  event.recipient_id = recipient_id;
  if (context_.hasher != nullptr) fill_domain(Name(domain, found.to_at != 0), found, event);
  fill_line(tag, queue_id, found, event);
  event.queue_id = text_of(queue_id);
  event.recipient = text_of(found.to);
  if (found.truncated || truncated_) event.flags |= EventFlags::kTruncated;
  fill_remote(tag, found, event);
  if (found.status != Status::sent) fill_failure(tag, found, event);
  event.host =
      number_of_host(Name(batch_.view(event.mta_host), !header_.unescaped), event.mta_host);
  scratch_.local.event(batch_, event);
  return true;
}

void parse_postfix(const Context& context, Batch& batch) {
  PostfixParser(context, batch).run();
}

}  // namespace bounced::parse
