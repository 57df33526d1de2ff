// The short way of usual lines: in few steps, with few branches, and without a call that most lines
// would make. Where a line turns out to be unusual, the long way (postfix.cc) takes all of it.
#include "parse/postfix_parser.h"
#include "parse/usual.h"

namespace bounced::parse {

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
  const char* line = line_;
  std::size_t ahead = 0;
  for (; ahead < kAhead && line < end; ++ahead) {
    const char* const newline = scratch_.ends.next();
    newline_ = newline;
    const auto size = static_cast<std::size_t>(newline - line);
    if (newline == nullptr || size > limits::kLineBytesMax) break;
    Ahead& out = ahead_[ahead];
    out.newline = newline;
    if (!usual_header(line, out)) break;
    line = newline + 1;
  }
  line_ = line;
  return ahead;
}

/// The line at line_, whose header was read ahead; line_ moves behind it.
BOUNCED_HOT void PostfixParser::ahead_line(const Ahead& ahead) {
  newline_ = ahead.newline;
  header_.time_us = ahead.time_us;
  header_.time_form = ahead.time_form;
  header_.unescaped = false;
  if (!usual_text(*ahead.tag, ahead.text)) {
    // The text may have a front that only HeaderReader knows.
    const bool front = *ahead.text == ' ' || *ahead.text == '[';
    any_line(front ? nullptr : ahead.tag, ahead.text);
  }
  line_ = newline_ + 1;
}

/// The header of most lines: the last stamp again, a head seen before, "[PID]: TEXT". `out` has the
/// newline and gets the rest; false when HeaderReader must read it.
BOUNCED_HOT bool PostfixParser::usual_header(const char* p, Ahead& out) const {
  if (out.newline - p < 48) return false;
  if (!scratch_.headers.read_usual_stamp(p, out.time_us, out.time_form)) return false;
  ++p;
  // At most 97 bytes from the line's first one: inside the block or its padding.
  std::uint64_t found = Bytes<32>(p).is('[');
  if (found == 0) found = Bytes<16>(p + 32).is('[') << 32;
  if (found == 0) return false;
  const auto size = static_cast<std::size_t>(__builtin_ctzll(found));
  const Head& head = heads_[head_slot(p + size, size)];
  if (!same_head(p, size, head)) return false;
  p += size + 1;
  const std::uint64_t close = Bytes<16>(p).is(']');
  if (close == 0) return false;
  p += __builtin_ctzll(close) + 3;
  if (load32(p - 3) << 8 != word4("]:  ") << 8 || p > out.newline) return false;
  out.text = p;
  out.tag = &head.tag;
  return true;
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
  if (load32(rest) == word4("to=<")) return usual_delivery(tag, queue_id, rest);
  if (tag.daemon == Daemon::cleanup) return usual_remark(tag, queue_id, rest);
  if (tag.daemon != Daemon::qmgr) return false;
  if (load64(rest) != word8("removed\n")) return usual_begin(tag, queue_id, rest);
  const Note& note = new_note(tag, queue_id, NoteKind::removed, {}, 0, 0);
  scratch_.local.note_of(batch_, note, NoteKind::removed);
  return true;
}

/// `from=...` behind the queue id, as usual_text().
BOUNCED_HOT bool PostfixParser::usual_begin(const Tag& tag, std::string_view queue_id,
                                            const char* rest) {
  Begin begin;
  if (!read_usual_begin(rest, newline_, begin)) return false;
  // Here, while its bytes are near: the block is larger than the nearest caches.
  const std::uint64_t key =
      begin.at == nullptr
          ? domain_key(begin.sender)
          : domain_name_key(between(begin.at + 1, begin.sender.data() + begin.sender.size()), true);
  const Note& note =
      new_note(tag, queue_id, NoteKind::begin, inside(begin.sender), begin.recipients, key);
  scratch_.local.note_of(batch_, note, NoteKind::begin);
  return true;
}

/// `to=...` behind the queue id, as usual_text().
BOUNCED_HOT bool PostfixParser::usual_delivery(const Tag& tag, std::string_view queue_id,
                                               const char* rest) {
  Delivery found;
  if (!read_usual_delivery(rest, newline_, found)) return false;
  const std::string_view host(found.relay.data(), found.host_size);
  if (found.to_at == 0 || host.empty() || context_.hasher == nullptr || relays_.configured()) {
    return deliver(tag, queue_id, found);
  }
  Event& event = new_event();
  event.recipient_id = context_.hasher->normal_id(found.to);
  fill_domain(Name(found.domain(), true), found, event);
  fill_line(tag, queue_id, found, event);
  event.queue_id = inside(queue_id);
  event.recipient = inside(found.to);
  event.mta_host = inside(host);
  event.mta_ip = inside(found.ip);
  event.mta_port = 25;
  event.host = number_of_host(Name(host, true), event.mta_host);
  if (found.status == Status::sent) {
    fill_usual_sent(tag, found, event);
  } else {
    if (host_may_pass_on(found, event) &&
        passes_on(tag, relays_.read_parts(found.relay, found.ip))) {
      event.flags |= EventFlags::kRelay;
    }
    fill_failure(tag, found, event);
  }
  scratch_.local.event(batch_, event);
  return true;
}

/// Whether passes_on() has to be asked for the host of a usual line: for few.
BOUNCED_HOT bool PostfixParser::host_may_pass_on(const Delivery& found, const Event& event) const {
  const char* const ip = found.ip.data();  // may be empty
  const bool near = *ip == ':' || load32(ip) == word4("127.");
  return near || event.host == 0 || scratch_.passes_on[event.host];
}

/// As fill_remote() of `status=sent`, when the host's name and address are set.
BOUNCED_HOT void PostfixParser::fill_usual_sent(const Tag& tag, const Delivery& found,
                                                Event& event) {
  event.diagnostic = inside(found.reason);
  event.smtp_code = load32(found.reason.data()) == word4("250 ") ? 250 : reply_code(found.reason);
  const bool delivered =
      tag.daemon == Daemon::smtp && event.smtp_code != 0 && !host_may_pass_on(found, event);
  event.kind = delivered ? EventKind::delivered
                         : kind_of_sent(tag, found, relays_.read_parts(found.relay, found.ip));
}

/// usual_text() for a line whose header was not usual.
bool PostfixParser::usual_text_behind(const Tag& tag, const char* p) {
  return usual_text(tag, p);
}

}  // namespace bounced::parse
