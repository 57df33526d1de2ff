// The short way of usual lines, as postfix_usual.cc. Where a line turns out to be unusual, nothing
// was done, and the long way (exim.cc) takes all of it.
#include "parse/exim_usual.h"

#include "base/message.h"
#include "parse/exim_parser.h"
#include "parse/postfix_reason.h"

namespace bounced::parse {

void EximParser::run() {
  const Block& block = *batch_.block;
  const char* const block_end = base_ + block.size;
  scratch_.ends.start(block.text());
  for (line_ = base_; line_ < block_end; line_ = next_) {
    const char* const newline = scratch_.ends.next();
    next_ = newline == nullptr ? block_end : newline + 1;
    ++batch_.counts.lines;
    if (newline == nullptr || !usual_line(line_, newline)) any_line(newline);
  }
  batch_.counts.bytes += block.size;
  scratch_.local.finish(batch_);
}

/// `STAMP ID TEXT`, all of it in its usual shape: its event or its notes are there; else false.
BOUNCED_HOT bool EximParser::usual_line(const char* p, const char* newline) {
  constexpr std::ptrdiff_t kShortest = EximStampReader::kBytes + 1 + kNewIdBytes + 1;
  const std::ptrdiff_t size = newline - p;
  if (size < kShortest || size > static_cast<std::ptrdiff_t>(limits::kLineBytesMax)) return false;
  if (newline[-1] == '\r') return false;
  if (scratch_.stamps.read_again(p, time_us_)) {
    time_form_ = TimeForm::local;
    p += EximStampReader::kBytes + 1;
  } else {
    EximStamp stamp;
    if (!scratch_.stamps.read(p, newline, stamp)) return false;
    time_us_ = stamp.time_us;
    time_form_ = stamp.time_form;
  }
  const std::size_t id_size = usual_exim_id_size(p);
  if (id_size == 0) return false;
  home_ = {};
  truncated_ = false;
  if (!has_origin_ || !host_.empty()) set_origin({}, "exim");
  const std::string_view queue_id(p, id_size);
  key_ = exim_queue_key(queue_id, seed_);
  return usual_record(queue_id, p + id_size + 1, newline);
}

/// What follows the id, as usual_line().
BOUNCED_HOT bool EximParser::usual_record(std::string_view queue_id, const char* p,
                                          const char* newline) {
  switch (load32(p) & 0xFFFFFF) {
    case word4("<= \0"):
      return usual_received(p + 3, newline);
    case word4("=> \0"):
    case word4("-> \0"):
      return usual_delivery(queue_id, EximFlag::delivered, p + 3, newline);
    case word4("** \0"):
      return usual_delivery(queue_id, EximFlag::failed, p + 3, newline);
    case word4("== \0"):
      return usual_delivery(queue_id, EximFlag::deferred, p + 3, newline);
    default:
      break;
  }
  if (load64(p) != word8("Complete") || p[8] != 'd' || (p[9] != '\n' && p[9] != ' ')) return false;
  scratch_.local.note_of(batch_, new_note(NoteKind::removed, {}, 0), NoteKind::removed);
  return true;
}

/// `<= SENDER ...`, as usual_line().
BOUNCED_HOT bool EximParser::usual_received(const char* p, const char* newline) {
  EximReceived found;
  const char* at = nullptr;
  if (!read_usual_received(p, newline, found, at)) return false;
  bool first = true;
  const auto told = [&](NoteKind kind, Text text, std::uint64_t text_key)
      __attribute__((always_inline)) {
    const Note& note = new_note(kind, text, text_key);
    if (first) {
      scratch_.local.note_of(batch_, note, kind);
    } else {
      scratch_.local.note_more(batch_, note, kind);
    }
    first = false;
  };
  if (!found.authenticated.empty()) told(NoteKind::sasl_user, inside(found.authenticated), 0);
  if (!found.message_id.empty()) {
    const Text id = batch_.add(found.message_id, '<', '>');
    told(NoteKind::message_id, id, message_fingerprint_inside(found.message_id));
  }
  const std::string_view sender = found.sender;
  const std::uint64_t domain =
      at == nullptr ? 0 : domain_name_key(between(at + 1, sender.data() + sender.size()), true);
  told(NoteKind::begin, inside(sender), domain);
  return true;
}

/// `=> ADDRESS ...` and its like, as usual_line().
BOUNCED_HOT bool EximParser::usual_delivery(std::string_view queue_id, EximFlag flag, const char* p,
                                            const char* newline) {
  EximDelivery& found = found_;
  zero(found);
  const char* at = nullptr;
  if (context_.hasher == nullptr || !read_usual_exim_delivery(p, newline, habits_, found, at) ||
      (flag == EximFlag::deferred && !found.has_defer)) {
    return false;
  }
  const std::string_view address = found.address;
  if (at == nullptr && !context_.hasher->address(address, normal_, recipient_id_)) return false;
  Event& event = batch_.events.append();
  zero(event);
  if (at == nullptr) {
    event.recipient_id = recipient_id_;
    fill_domain(Name(normal_.domain(), false), raw_domain(address), event);
  } else {
    event.recipient_id = context_.hasher->normal_id(address);
    const std::string_view domain = between(at + 1, address.data() + address.size());
    set_domain(batch_, scratch_.domains, *context_.hasher, Name(domain, true), event,
               [&] { return inside(domain); });
  }
  fill_usual_line(queue_id, found, event);
  if (found.router.data() != habits_.router.data()) remember_route(found);
  if (flag == EximFlag::delivered) {
    fill_usual_sent(found, event);
  } else {
    fill_failure(found, flag, event);
  }
  scratch_.local.event(batch_, event);
  return true;
}

/// As fill_line(), of a recipient whose ids are set.
BOUNCED_HOT void EximParser::fill_usual_line(std::string_view queue_id, const EximDelivery& found,
                                             Event& event) {
  const Block& block = *batch_.block;
  const std::uint64_t identity[3] = {block.file, line_offset(), 0};
  event.id = hash64_inline(identity, sizeof identity, 0);
  event.time_us = time_us_;
  event.time_form = time_form_;
  event.offset = identity[1];
  event.source = block.source;
  event.format = static_cast<std::uint8_t>(block.format < 0 ? 0 : block.format);
  event.origin = origin_;
  event.recipient = inside(found.address);
  event.queue_id = inside(queue_id);
  event.queue_key = key_;
  event.sending_ip = inside(found.local_ip);
  if (!found.queue_time.empty()) event.delay_ms = exim_duration_ms(found.queue_time);
  if (found.has_sender) fill_sender(found.sender, event);
  see_time();
  event.mta_host = inside(found.host);
  event.mta_ip = inside(found.ip);
  event.mta_port = found.port;
  if (found.host.empty()) return;
  event.host = parse::number_of_host(
      batch_, scratch_.hosts, Name(found.host, true), event.mta_host,
      [&](std::size_t number) { scratch_.passes_on[number] = may_pass_on(found.host); });
}

/// As passes_on().
BOUNCED_HOT bool EximParser::usual_passes_on(const EximDelivery& found, const Event& event) {
  const char* const ip = found.ip.data();
  if (found.host.empty() || *ip == ':' || load32(ip) == word4("127.") || event.host == 0 ||
      relays_.configured() || (found.port != 0 && found.port != 25) ||
      found.router.data() != router_.data() || found.transport.data() != transport_.data()) {
    return passes_on(found, event);
  }
  return smarthost_ || (scratch_.passes_on[event.host] && !lmtp_);
}

/// As fill_sent(), of an address that is one.
BOUNCED_HOT void EximParser::fill_usual_sent(const EximDelivery& found, Event& event) {
  event.kind = usual_passes_on(found, event) ? EventKind::relayed : EventKind::delivered;
  const std::string_view said = found.confirmation;
  event.diagnostic = inside(said);
  event.smtp_code = reply_code(said);
  if (event.smtp_code == 0) return;
  const char* const end = said.data() + said.size();
  const char* p = said.data() + (said.size() > 3 ? 4 : 3);
  read_enhanced(p, end, event.enhanced);
}

/// Of `R=ROUTER T=TRANSPORT `, when both are plain words.
void EximParser::remember_route(const EximDelivery& found) {
  const std::string_view router = found.router, transport = found.transport;
  if (router.empty() || transport.empty()) return;
  const char* const behind = router.data() + router.size();
  const bool plain = transport.data() == behind + 3 && load32(behind) << 8 == word4(" T= ") << 8 &&
                     load32(router.data() - 3) << 8 == word4(" R= ") << 8 &&
                     transport.data()[transport.size()] == ' ' && router.front() != '<' &&
                     transport.front() != '<';
  if (!plain) return;
  habits_.route = between(router.data() - 2, transport.data() + transport.size() + 1);
  habits_.router = router;
  habits_.transport = transport;
  look_at_route(router, transport);
}

}  // namespace bounced::parse
