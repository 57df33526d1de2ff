#include "parse/exim.h"

#include <algorithm>
#include <cstring>

#include "base/message.h"
#include "base/text.h"
#include "parse/exim_parser.h"
#include "parse/exim_split.h"
#include "parse/postfix_reason.h"

namespace bounced::parse {
namespace {

EximScratch& scratch() {
  thread_local EximScratch instance;
  return instance;
}

}  // namespace

EximParser::EximParser(const Context& context, Batch& batch)
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

/// The line at line_, up to its newline, or nullptr: to the block's end.
void EximParser::any_line(const char* newline) {
  const char* end = newline == nullptr ? next_ : newline;
  // Left by copytruncate or a crash; the line is told to be behind them.
  while (line_ < end && *line_ == '\0') ++line_;
  truncated_ = static_cast<std::size_t>(end - line_) > limits::kLineBytesMax;
  if (truncated_) {
    end = line_ + limits::kLineBytesMax;
    ++batch_.counts.oversize;
  }
  if (line_ < end && end[-1] == '\r') --end;
  count(line(line_, end));
}

void EximParser::count(Outcome outcome) {
  count_line(batch_, outcome, line_offset());
}

// --- lines ----------------------------------------------------------------------------------

EximParser::Outcome EximParser::line(const char* p, const char* end) {
  if (p == end) return Outcome::foreign;
  home_ = {};
  EximStamp stamp;
  if (!scratch_.stamps.read(p, end, stamp)) return syslog_line(between(p, end));
  time_us_ = stamp.time_us;
  time_form_ = stamp.time_form;
  if (!has_origin_ || !host_.empty()) set_origin({}, "exim");
  return record(p, end);
}

/// `HEADER exim[pid]: RECORD`, where the record may begin with a stamp of its own.
EximParser::Outcome EximParser::syslog_line(std::string_view line) {
  Header header;
  const char* const block_end = base_ + batch_.block->size;
  const auto padding =
      static_cast<std::size_t>(block_end - (line.data() + line.size())) + limits::kBlockPadding;
  if (!scratch_.headers.read(line, padding, header)) return Outcome::foreign;
  return syslog_record(header);
}

void EximParser::take(const Header& header, const char* line) {
  Header copied = header;
  copied.unescaped = true;
  line_ = next_ = line;
  truncated_ = false;
  home_ = {};
  count(syslog_record(copied));
}

EximParser::Outcome EximParser::syslog_record(const Header& header) {
  if (!is_exim_tag(header.tag)) return Outcome::foreign;
  if (header.unescaped) {
    home_ = header.text;
    home_placed_ = false;
  }
  time_us_ = header.time_us;
  time_form_ = header.time_form;
  const char* p = header.text.data();
  const char* end = p + header.text.size();
  EximPiece split;
  if (read_exim_piece(p, end, split)) {
    if (split.number > 1) return Outcome::ignored;  // told with the first one
    // What is behind a newline belongs to rejectlog.
    if (split.count > 1 && !split.newline) {
      const std::string_view front =
          between(header.host.empty() ? header.tag.data() : header.host.data(), header.text.data());
      truncated_ =
          header.unescaped || !join_exim_pieces(front, between(p, end), split.count, next_,
                                                base_ + batch_.block->size, scratch_.record);
      if (!truncated_) {
        home_ = scratch_.record;
        home_placed_ = false;
        p = home_.data();
        end = p + home_.size();
      }
    }
  }
  EximStamp stamp;
  // The header's time is the better one where it has an offset and Exim's own has none.
  if (scratch_.stamps.read(p, end, stamp) &&
      (stamp.time_form == TimeForm::utc || time_form_ != TimeForm::utc)) {
    time_us_ = stamp.time_us;
    time_form_ = stamp.time_form;
  } else if (p < end && *p == '[') {  // without a stamp: "[pid] "
    const char* const close = find_byte(p, end, ']');
    if (end - close > 1 && close[1] == ' ' && close - p < 12) p = close + 2;
  }
  const std::string_view tag = header.tag;
  if (!has_origin_ || host_ != header.host || instance_ != tag || header.unescaped) {
    set_origin(header.host, tag);
    if (header.unescaped) has_origin_ = false;  // its bytes do not stay
  }
  return record(p, end);
}

EximParser::Outcome EximParser::record(const char* p, const char* end) {
  const std::size_t size = exim_id_size(p, end);
  if (size == 0) return Outcome::ignored;
  const std::string_view queue_id(p, size);
  set_key(queue_id);
  if (end - p <= static_cast<std::ptrdiff_t>(size)) return Outcome::ignored;
  return told(queue_id, p + size + 1, end);
}

EximParser::Outcome EximParser::told(std::string_view queue_id, const char* p, const char* end) {
  const EximFlag flag = exim_flag(p, end);
  switch (flag) {
    case EximFlag::none:
      return remark(between(p, end));
    case EximFlag::received:
      return received(between(p + 3, end));
    case EximFlag::delivered:
    case EximFlag::suppressed:
    case EximFlag::failed:
    case EximFlag::deferred:
      break;
  }
  return delivery(queue_id, flag, between(p + 3, end));
}

// --- notes ----------------------------------------------------------------------------------

void EximParser::note(NoteKind kind, Text text, std::uint64_t text_key) {
  scratch_.local.note(batch_, new_note(kind, text, text_key));
}

/// One line tells what Postfix has three for. The sender comes last: it begins the message.
/// Exim's own count of recipients is not that of its `=>` lines, so none is told: `Completed` ends
/// the message.
EximParser::Outcome EximParser::received(std::string_view text) {
  EximReceived found;
  if (!read_exim_received(text, found)) return Outcome::unparsed;
  if (!found.authenticated.empty()) {
    note(NoteKind::sasl_user, text_of(found.authenticated), 0);
  }
  if (!found.message_id.empty()) {
    const Text id = batch_.add(found.message_id, '<', '>');
    note(NoteKind::message_id, id, message_fingerprint(batch_.view(id)));
  }
  // rfind() of the standard library goes byte by byte.
  const auto* const at =
      found.sender.empty()
          ? nullptr
          : static_cast<const char*>(::memrchr(found.sender.data(), '@', found.sender.size()));
  const std::uint64_t domain =
      at == nullptr
          ? 0
          : domain_name_key(between(at + 1, found.sender.data() + found.sender.size()), padded());
  note(NoteKind::begin, text_of(found.sender), domain);
  return Outcome::used;
}

/// `campaign=VALUE[ from <..]` or `X-Campaign: VALUE`, as an ACL's logwrite may say.
bool EximParser::campaign(std::string_view text) {
  constexpr std::string_view kKey = "campaign=";
  const std::string_view header = context_.campaign_header;
  std::string_view value;
  if (starts(text, "campaign=")) {
    value = text.substr(kKey.size());
    value = value.substr(0, value.rfind(" from <"));
  } else if (!header.empty() && text.size() > header.size() + 1 && text[header.size()] == ':' &&
             iequals(text.substr(0, header.size()), header)) {
    value = text.substr(header.size() + 1);
    value.remove_prefix(std::min(value.size(), value.find_first_not_of(' ')));
  }
  while (!value.empty() && value.back() == ' ') value.remove_suffix(1);
  if (value.empty()) return false;
  note(NoteKind::campaign, decoded_text(value, false), 0);
  return true;
}

EximParser::Outcome EximParser::remark(std::string_view text) {
  if (text == "Completed" || starts(text, "Completed ")) {
    note(NoteKind::removed, {}, 0);
    return Outcome::used;
  }
  // By timeout_frozen_after or an administrator: who is still deferred is given up, and the sender
  // told so, without a line for each of them.
  if (starts(text, "cancelled by ")) {
    note(NoteKind::expired, {}, 0);
    return Outcome::used;
  }
  std::string_view reason;
  if (is_exim_attempt(text, reason)) {
    note(NoteKind::mx_failure, decoded_text(reason, false), 0);
    return Outcome::used;
  }
  return campaign(text) ? Outcome::used : Outcome::ignored;
}

// --- deliveries -----------------------------------------------------------------------------

EximParser::Outcome EximParser::delivery(std::string_view queue_id, EximFlag flag,
                                         std::string_view text) {
  EximDelivery found;
  if (!read_exim_delivery(text, found)) return Outcome::unparsed;
  if (flag == EximFlag::deferred && !found.has_defer) {
    // Cut before what makes it one, or not by Exim.
    if (!truncated_) return Outcome::unparsed;
  }
  if (!find_recipient(found)) {
    // An ACL or a filter threw the message away, for nobody by name.
    const bool nobody = found.address == "blackhole" || found.address == "discarded";
    batch_.counts.bad_recipient += nobody ? 0 : 1;
    return Outcome::ignored;
  }
  Event& event = batch_.events.append();
  zero(event);
  fill_line(queue_id, found, event);
  if (flag == EximFlag::delivered || flag == EximFlag::suppressed) {
    fill_sent(found, flag, event);
  } else {
    fill_failure(found, flag, event);
  }
  scratch_.local.event(batch_, event);
  return Outcome::used;
}

/// The recipient, its id, and its domain in normal form; false when it is no address.
bool EximParser::find_recipient(const EximDelivery& found) {
  usual_recipient_ = context_.hasher != nullptr && padded() && is_usual_recipient(found);
  if (usual_recipient_) {
    recipient_ = found.address;
    recipient_id_ = context_.hasher->normal_id(recipient_);
    domain_ = between(find_byte(recipient_.data(), recipient_.data() + recipient_.size(), '@') + 1,
                      recipient_.data() + recipient_.size());
    return true;
  }
  recipient_ = exim_recipient(found);
  if (recipient_.empty()) return false;
  if (context_.hasher == nullptr) return true;
  if (!context_.hasher->address(recipient_, normal_, recipient_id_)) return false;
  domain_ = normal_.domain();
  return true;
}

void EximParser::fill_line(std::string_view queue_id, const EximDelivery& found, Event& event) {
  const Block& block = *batch_.block;
  const std::uint64_t identity[3] = {block.file, line_offset(), 0};
  event.id = hash64_inline(identity, sizeof identity, 0);
  event.time_us = time_us_;
  event.time_form = time_form_;
  event.offset = identity[1];
  event.source = block.source;
  event.format = static_cast<std::uint8_t>(block.format < 0 ? 0 : block.format);
  event.origin = origin_;
  event.recipient = text_of(recipient_);
  if (context_.hasher != nullptr) {
    event.recipient_id = recipient_id_;
    fill_domain(Name(domain_, usual_recipient_),
                usual_recipient_ ? domain_ : raw_domain(recipient_), event);
  }
  event.queue_id = text_of(queue_id);
  event.queue_key = key_;
  event.sending_ip = text_of(found.local_ip);
  if (truncated_) event.flags |= EventFlags::kTruncated;
  if (!found.queue_time.empty()) event.delay_ms = exim_duration_ms(found.queue_time);
  if (found.has_sender) fill_sender(found.sender, event);
  see_time();
  fill_host(found.host, found.ip, found.port, event);
}

void EximParser::fill_sender(std::string_view sender, Event& event) {
  event.sender = text_of(sender);
  event.sender_domain = domain_key(sender);
  if (sender.empty()) event.flags |= EventFlags::kNullSender;
}

void EximParser::fill_host(std::string_view host, std::string_view ip, std::uint16_t port,
                           Event& event) {
  event.mta_host = text_of(host);
  event.mta_ip = text_of(ip);
  event.mta_port = port;
  event.host = number_of_host(host, event.mta_host);
}

/// Routers and transports tell by their names (Debian's: smarthost, remote_smtp_smarthost).
void EximParser::look_at_route(std::string_view router, std::string_view transport) {
  const auto named = [](std::string_view name) {
    return name.find("smarthost") != std::string_view::npos ||
           name.find("smart_host") != std::string_view::npos ||
           name.find("smart_route") != std::string_view::npos;
  };
  smarthost_ = named(router) || named(transport);
  lmtp_ = transport.find("lmtp") != std::string_view::npos;
  router_ = padded() ? router : std::string_view{};
  transport_ = padded() ? transport : std::string_view{};
}

/// Whether mail that this host takes is only passed on.
bool EximParser::passes_on(const EximDelivery& found, const Event& event) {
  if (found.host.empty() && found.ip.empty()) return false;
  if (found.transport != transport_ || found.router != router_ || transport_.data() == nullptr) {
    look_at_route(found.router, found.transport);
  }
  if (smarthost_) return true;
  const bool near = starts(found.ip, "127.") || found.ip == "::1";
  const bool usual_port = found.port == 0 || found.port == 25;
  const bool lmtp = found.port == 24 || lmtp_;
  if (!near && usual_port && !relays_.configured() && event.host != 0) {
    return scratch_.passes_on[event.host] && !lmtp;
  }
  const Relay& relay = relays_.read_named(found.host, found.ip, found.port);
  if (lmtp) return relay.configured;
  return relay.configured || relay.submission || relay.loopback;
}

void EximParser::fill_sent(const EximDelivery& found, EximFlag flag, Event& event) {
  event.kind = EventKind::delivered;
  if (flag == EximFlag::suppressed || starts(found.address, ":blackhole:") ||
      found.address == "/dev/null") {
    event.kind = EventKind::discarded;
  } else if (starts(found.address, ">") || passes_on(found, event)) {
    event.kind = EventKind::relayed;  // ">": an automatic answer was sent
  }
  event.diagnostic = decoded_text(found.confirmation, true);
  event.smtp_code = reply_code(found.confirmation);
  const char* p = found.confirmation.data();
  const char* const end = p + found.confirmation.size();
  if (event.smtp_code == 0) return;
  p += 3;
  if (p < end) ++p;
  read_enhanced(p, end, event.enhanced);
}

void EximParser::fill_failure(const EximDelivery& found, EximFlag flag, Event& event) {
  const EximReason reason = read_exim_reason(found);
  if (event.mta_host.empty() && event.mta_ip.empty() && !reason.ip.empty()) {
    fill_host(reason.host, reason.ip, 0, event);
  }
  if (passes_on(found, event)) event.flags |= EventFlags::kRelay;
  event.diagnostic = decoded_text(reason.diagnostic, false);
  event.smtp_code = reason.smtp_code;
  event.enhanced = reason.enhanced;
  event.phase = reason.phase;
  if (flag == EximFlag::failed) {
    event.kind = reason.expired ? EventKind::expired : EventKind::bounced;
    if (reason.expired && reason.session) event.flags |= EventFlags::kSession;
    if (has_suppression_marker(reason.diagnostic, event.enhanced)) {
      event.kind = EventKind::suppressed;
    }
    return;
  }
  event.kind = EventKind::deferred;
  if (reason.not_attempted) event.flags |= EventFlags::kNotAttempted;
  if (reason.session) event.flags |= EventFlags::kSession;
}

// --- places ---------------------------------------------------------------------------------

void EximParser::fill_domain(const Name& name, std::string_view raw, Event& event) {
  set_domain(batch_, scratch_.domains, *context_.hasher, name, event, [&] { return text_of(raw); });
}

std::uint16_t EximParser::number_of_host(std::string_view host, Text text) {
  if (host.empty()) return 0;  // no bytes that a Name could read
  return parse::number_of_host(
      batch_, scratch_.hosts, Name(host, padded()), text,
      [&](std::size_t number) { scratch_.passes_on[number] = may_pass_on(host); });
}

void EximParser::set_origin(std::string_view host, std::string_view instance) {
  host_ = host;
  instance_ = instance;
  has_origin_ = true;
  seed_ = hash64(instance, hash64(host));
  const auto [at, fresh] = scratch_.origins.try_emplace(seed_, 0);
  if (fresh && batch_.origins.size() < kOriginsMax) {
    batch_.origins.push_back({batch_.add(host), batch_.add(instance), seed_});
    at->second = static_cast<std::uint16_t>(batch_.origins.size());
  }
  origin_ = at->second;
}

void EximParser::set_key(std::string_view queue_id) {
  key_ = exim_queue_key(queue_id, seed_);
}

/// The Text of bytes of this record. One that is not in the block is copied when the first of its
/// bytes is wanted.
Text EximParser::text_of(std::string_view bytes) {
  if (bytes.empty()) return {};
  if (home_.data() == nullptr) return batch_.inside(bytes);
  if (!home_placed_) {
    home_offset_ = batch_.add(home_).offset;
    home_placed_ = true;
  }
  return {home_offset_ + static_cast<std::uint32_t>(bytes.data() - home_.data()),
          static_cast<std::uint32_t>(bytes.size())};
}

/// The same, with Exim's escapes undone.
Text EximParser::decoded_text(std::string_view bytes, bool quoted) {
  if (!has_exim_escapes(bytes)) return text_of(bytes);
  scratch_.decoded.clear();
  decode_exim(bytes, quoted, scratch_.decoded);
  return batch_.add(scratch_.decoded);
}

void parse_exim(const Context& context, Batch& batch) {
  EximParser(context, batch).run();
}

}  // namespace bounced::parse
