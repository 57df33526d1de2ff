#include "parse/mail/mail.h"

#include <algorithm>

#include "base/hash.h"
#include "base/mbox.h"
#include "base/message.h"
#include "base/text.h"
#include "base/time.h"
#include "parse/mail/delivery_status.h"
#include "parse/mail/message.h"
#include "parse/mail/notice.h"
#include "parse/mail/origin.h"
#include "parse/mail/phrases.h"
#include "parse/mail/reply.h"
#include "parse/postfix_reason.h"

namespace bounced::parse {
namespace {

using namespace mail;

constexpr std::size_t kNone = std::string_view::npos;
/// What a mail is stands in the first lines of its text.
constexpr std::size_t kPhraseBytes = 6144;

/// What one event says; texts live as long as the taker.
struct Fact {
  EventKind kind = EventKind::none;
  std::string_view recipient;
  Reply reply;
  EnhancedCode status;
  ProviderHint hint = ProviderHint::none;
};

/// Takes one mail.
class Taker {
 public:
  Taker(const Context& context, std::uint64_t offset, std::int64_t arrived_us, Batch& batch)
      : context_(context), batch_(batch), offset_(offset), arrived_us_(arrived_us) {}

  void take(std::string_view bytes);
  /// A report that came back as another's returned message; `made`: events of the mail so far.
  /// Returns how many there are then.
  std::uint64_t take_returned(Message message, std::uint64_t made);

 private:
  void find_origin();
  bool take_delivery_status();
  bool take_feedback();
  bool take_unsubscribe();
  bool take_notice();
  bool take_autoreply();
  [[nodiscard]] bool is_daemon() const;
  [[nodiscard]] bool is_bounce() const;
  [[nodiscard]] bool is_delay() const;
  [[nodiscard]] bool says_autoreply() const;
  [[nodiscard]] std::vector<std::string> known_recipients() const;
  [[nodiscard]] std::vector<std::string> our_addresses() const;
  void find_text();
  void add(const Fact& fact);
  void set_common(Event& event);

  const Context& context_;
  Batch& batch_;
  const std::uint64_t offset_;
  const std::int64_t arrived_us_;
  Message message_;
  SentMessage sent_;  ///< what the mail says of ours
  Verp verp_;
  std::string text_;             ///< what a person would read, with what it quotes
  std::string_view notice_;      ///< the part of it before the returned message
  std::string lower_, subject_;  ///< of the notice (its beginning) and of the Subject; lower case
  std::string own_queue_id_;
  std::int64_t time_us_ = 0;
  std::uint64_t made_ = 0;
  std::uint64_t mail_hash_ = 0;
  bool common_set_ = false;
  Text sender_, message_id_, queue_id_, campaign_;
};

void Taker::find_text() {
  const Part* part = message_.part("text/plain");
  if (part != nullptr && !trim(part->text).empty()) {
    text_ = part->text;
  } else if (const Part* html = message_.part("text/html"); html != nullptr) {
    text_ = text_of_html(html->text);
  }
  const NoticeText split = split_notice(text_);
  notice_ = split.notice;
  if (message_.original.empty() && !split.rest.empty()) {
    read_fields(split.rest, message_.original);
  }
  lower_ = ascii_lower(notice_.substr(0, kPhraseBytes));
  subject_ = ascii_lower(message_.header.get("subject"));
}

void Taker::find_origin() {
  time_us_ = time_of(message_, arrived_us_);
  sent_ = sent_message(message_, context_.campaign_header);
  for (const std::string& address : envelope_recipients(message_)) {
    verp_ = decode_verp(context_.verp, address);
    if (!verp_.recipient.empty()) break;
  }
  if (verp_.recipient.empty()) verp_ = decode_verp(context_.verp, sent_.sender);
}

std::uint64_t Taker::take_returned(Message message, std::uint64_t made) {
  message_ = std::move(message);
  made_ = made;
  find_text();
  find_origin();
  take_delivery_status();
  return made_;
}

void Taker::take(std::string_view bytes) {
  ++batch_.counts.lines;
  batch_.counts.bytes += bytes.size();
  if (batch_.block == nullptr) mail_hash_ = hash64(bytes);
  if (!read_message(bytes, message_)) {
    ++batch_.counts.unparsed;
    if (batch_.sample_unparsed < 0) batch_.sample_unparsed = static_cast<std::int64_t>(offset_);
    return;
  }
  find_text();
  find_origin();
  if (take_feedback() || take_delivery_status()) return;
  if (take_unsubscribe()) return;
  if (is_bounce() && take_notice()) return;
  if (take_autoreply()) return;
  if (!is_bounce()) {
    ++batch_.counts.ignored;
    return;
  }
  // It says that something failed, but not for whom.
  ++batch_.counts.unparsed;
  if (batch_.sample_unparsed < 0) batch_.sample_unparsed = static_cast<std::int64_t>(offset_);
}

// --- events -------------------------------------------------------------------------------------

void Taker::set_common(Event& event) {
  if (!common_set_) {
    common_set_ = true;
    sender_ = batch_.add(sent_.sender);
    message_id_ = batch_.add(sent_.message_id.substr(0, kMessageIdBytesMax));
    queue_id_ = batch_.add(own_queue_id_.empty() ? sent_.queue_id : own_queue_id_);
    campaign_ = batch_.add(sent_.campaign.substr(0, kCampaignBytesMax));
  }
  event.sender = sender_;
  if (sent_.null_sender) event.flags |= EventFlags::kNullSender;
  event.message_id = message_id_;
  event.queue_id = queue_id_;
  event.campaign = campaign_;
}

void Taker::add(const Fact& fact) {
  Event event;
  const Block* const block = batch_.block.get();  // pushed mails have none
  const std::uint64_t identity[3] = {block == nullptr ? mail_hash_ : block->file, offset_, made_};
  event.id = hash64({reinterpret_cast<const char*>(identity), sizeof identity});
  event.time_us = time_us_;
  event.offset = offset_;
  event.source = block == nullptr ? 0 : block->source;
  event.format = static_cast<std::uint8_t>(std::max(0, find_format("mail")));
  event.kind = fact.kind;
  event.hint = fact.hint;
  if (!fact.recipient.empty()) {
    const std::string_view recipient = fact.recipient.substr(0, limits::kAddressBytesMax);
    if (!context_.hasher->ids(recipient, event.recipient_id, event.domain_id)) {
      ++batch_.counts.bad_recipient;
      return;
    }
    event.recipient = batch_.add(recipient);
  }
  event.phase = fact.reply.phase;
  event.smtp_code = fact.reply.smtp_code;
  event.enhanced = fact.status.present() ? fact.status : fact.reply.enhanced;
  event.diagnostic = batch_.add(fact.reply.diagnostic);
  event.mta_host = batch_.add(fact.reply.host);
  event.mta_ip = batch_.add(fact.reply.ip);
  set_common(event);
  if (event.kind == EventKind::bounced &&
      has_suppression_marker(fact.reply.diagnostic, event.enhanced)) {
    event.kind = EventKind::suppressed;
  }
  const bool proven = verp_.proven && iequals(verp_.recipient, fact.recipient);
  if (!proven) event.flags |= EventFlags::kUnproven;
  batch_.events.push_back(event);
  ++made_;
}

// --- RFC 3464 -----------------------------------------------------------------------------------

EventKind kind_of(const RecipientStatus& status, EnhancedCode code) {
  if (status.action == "delayed") return EventKind::deferred;
  if (status.action == "delivered") return EventKind::delivered;
  if (status.action == "relayed" || status.action == "expanded") return EventKind::relayed;
  if (status.action != "failed" && code.klass == 2) return EventKind::delivered;
  // Given up: what it says is a temporary code, or "delivery time expired" (RFC 3463 x.4.7).
  const bool expired =
      code.klass == 4 || (code.klass == 5 && code.subject == 4 && code.detail == 7);
  return expired ? EventKind::expired : EventKind::bounced;
}

Reply reply_of(const RecipientStatus& status) {
  Reply reply;
  if (!status.diagnostic.empty()) {
    reply = read_reply(status.diagnostic);
    // The field is the server's reply as it is: no words of it are left out.
    reply.diagnostic = status.diagnostic.substr(0, kReplyBytesMax);
  }
  if (!status.remote_mta.empty()) {
    reply.host = status.remote_mta;
    reply.ip = status.remote_ip;
  }
  return reply;
}

bool Taker::take_delivery_status() {
  std::size_t blocks = 0;
  for (const Part& part : message_.parts) {
    const bool status_part =
        part.type == "message/delivery-status" || part.type == "message/global-delivery-status";
    if (!status_part) continue;
    const DeliveryStatus report = read_delivery_status(part.text);
    own_queue_id_ = report.queue_id;
    if (sent_.sender.empty() && !sent_.null_sender) sent_.sender = report.sender;
    for (const RecipientStatus& status : report.recipients) {
      ++blocks;
      Fact fact;
      fact.recipient = status.recipient();
      fact.status = read_status(status.status);
      fact.kind = kind_of(status, fact.status);
      fact.reply = reply_of(status);
      const bool failing = fact.kind != EventKind::delivered && fact.kind != EventKind::relayed;
      if (failing && report.recipients.size() == 1 && !fact.reply.diagnostic.empty()) {
        // All of the notice is about this one.
        if (fact.reply.phase == Phase::none) fact.reply.phase = phase_of(notice_);
      } else if (failing && (fact.reply.diagnostic.empty() || fact.reply.phase == Phase::none)) {
        const bool named =
            ascii_lower(notice_).find(ascii_lower(status.final_recipient)) != std::string::npos;
        std::vector<NoticeRecipient> told;
        if (named || report.recipients.size() == 1) {
          told = read_notice(notice_, {status.final_recipient}, {});
        }
        if (!told.empty() && !told.front().words.empty()) {
          Reply prose = read_reply(told.front().words);
          fact.reply.phase = prose.phase;
          if (fact.reply.diagnostic.empty()) {
            if (!fact.reply.host.empty()) prose.host = fact.reply.host;
            fact.reply = std::move(prose);
          }
        }
      }
      add(fact);
    }
  }
  if (message_.returned_report != nullptr && blocks != 0) {
    Taker inner(context_, offset_, arrived_us_, batch_);
    inner.mail_hash_ = mail_hash_;
    made_ = inner.take_returned(std::move(*message_.returned_report), made_);
  }
  if (blocks == 0) return false;
  if (made_ == 0) ++batch_.counts.ignored;  // none of them names an address
  return true;
}

// --- RFC 5965 -----------------------------------------------------------------------------------

EventKind kind_of_feedback(std::string_view type) {
  if (type == "abuse" || type == "fraud" || type == "other" || type == "miscategorized") {
    return EventKind::complained;
  }
  if (type == "opt-out" || type == "opt-out-list" || type == "unsubscribe") {
    return EventKind::unsubscribed;
  }
  return EventKind::none;  // not-spam (never blocks), virus, auth-failure, dmarc: not recipients'
}

/// Reports redact with words, or with a hash in place of the local part.
bool is_redacted(std::string_view address) {
  const std::string local = ascii_lower(local_part(address));
  return local.find("redacted") != std::string::npos || local == "x" || local == "xxx" ||
         local.find("***") != std::string::npos || local.find("undisclosed") != std::string::npos;
}

bool Taker::take_feedback() {
  const Part* const part = message_.part("message/feedback-report");
  if (part == nullptr) return false;
  Fields fields;
  read_fields(part->text, fields);
  const std::string type = ascii_lower(fields.get("feedback-type"));
  Fact fact;
  fact.kind = kind_of_feedback(type);
  if (fact.kind == EventKind::none) {
    ++batch_.counts.ignored;
    return true;
  }
  if (sent_.sender.empty())
    sent_.sender = std::string(address_of(fields.get("original-mail-from")));
  if (verp_.recipient.empty()) {
    verp_ = decode_verp(context_.verp, address_of(fields.get("original-mail-from")));
  }
  fact.reply.diagnostic = "feedback " + type;
  fact.reply.host = collapse(fields.get("reporting-mta")
                                 .substr(std::min(fields.get("reporting-mta").size(),
                                                  fields.get("reporting-mta").find(';') + 1)));
  std::vector<std::string> recipients;
  const auto offer = [&](std::string_view value) {
    const std::string_view address = address_of(value);
    if (address.empty() || is_redacted(address)) return;
    recipients.emplace_back(address);
  };
  for (const HeaderField& field : fields.all()) {
    if (field.name == "original-rcpt-to" || field.name == "removal-recipient") offer(field.value);
  }
  if (recipients.empty() && !verp_.recipient.empty()) recipients.push_back(verp_.recipient);
  if (recipients.empty()) {
    for (const std::string_view name : {"x-hmxmroriginalrecipient", "x-original-to", "to"}) {
      if (recipients.empty()) offer(message_.original.get(name));
    }
  }
  std::sort(recipients.begin(), recipients.end());
  recipients.erase(std::unique(recipients.begin(), recipients.end()), recipients.end());
  if (recipients.size() > kBlocksMax) recipients.resize(kBlocksMax);
  for (const std::string& recipient : recipients) {
    fact.recipient = recipient;
    add(fact);
  }
  if (recipients.empty()) {
    // Redacted: the message may still tell for whom it was, once matched with what we sent.
    ++batch_.counts.bad_recipient;
    fact.recipient = {};
    add(fact);
  }
  return true;
}

// --- List-Unsubscribe ---------------------------------------------------------------------------

bool Taker::take_unsubscribe() {
  const std::string_view from = address_of(message_.header.get("from"));
  bool wish = false;
  for (const std::string& address : envelope_recipients(message_)) {
    const std::string local = ascii_lower(local_part(address));
    wish = wish || local.find("unsub") != std::string::npos ||
           local.find("opt-out") != std::string::npos ||
           local.find("optout") != std::string::npos || local.rfind("leave", 0) == 0 ||
           local.find("-leave") != std::string::npos || local.rfind("abmelde", 0) == 0;
  }
  if (!wish) {
    // Without an address for it only a subject that says nothing else.
    wish = subject_.size() < 48 && says(Says::unsubscribe, subject_.substr(0, 20)) &&
           !is_daemon() && !says_autoreply();
  }
  if (!wish || is_daemon() || message_.header.has("x-failed-recipients") || says_autoreply()) {
    return false;
  }
  Fact fact;
  fact.kind = EventKind::unsubscribed;
  fact.recipient = verp_.recipient.empty() ? from : std::string_view(verp_.recipient);
  if (fact.recipient.empty()) return false;
  add(fact);
  // A wish to leave is honoured by its word alone where we cannot ask for more.
  if (made_ != 0 && context_.verp.secrets.empty()) {
    batch_.events.data()[batch_.events.size() - 1].flags &=
        static_cast<std::uint8_t>(~EventFlags::kUnproven);
  }
  return made_ != 0;
}

// --- prose --------------------------------------------------------------------------------------

bool Taker::is_daemon() const {
  const std::string from = ascii_lower(message_.header.get("from"));
  const std::string local(local_part(address_of(from)));
  for (const std::string_view name : {"mailer-daemon", "mailerdaemon", "postmaster", "mail-daemon",
                                      "maildaemon", "mdaemon", "mailer_daemon", "mail.daemon"}) {
    if (local.find(name) != std::string::npos) return true;
  }
  if (local.rfind("microsoftexchange", 0) == 0 || local == "daemon") return true;
  for (const std::string_view name : {"mail delivery", "mailer-daemon", "mail system",
                                      "delivery system", "delivery subsystem", "postmaster"}) {
    if (from.find(name) != std::string::npos) return true;
  }
  return false;
}

bool Taker::says_autoreply() const {
  const Fields& header = message_.header;
  const std::string submitted = ascii_lower(header.get("auto-submitted"));
  if (submitted.rfind("auto-replied", 0) == 0 || submitted.rfind("auto-notified", 0) == 0)
    return true;
  for (const std::string_view name :
       {"x-autoreply", "x-autorespond", "x-autoreply-from", "x-mail-autoreply", "x-auto-reply-from",
        "x-ms-exchange-inbox-rules-loop", "x-vacation", "x-autogenerated"}) {
    if (header.has(name) && !iequals(header.get(name), "no")) return true;
  }
  const std::string precedence = ascii_lower(header.get("precedence"));
  if (precedence == "auto_reply" || precedence == "auto-reply" || precedence == "autoreply")
    return true;
  return says(Says::autoreply_subject, subject_);
}

bool Taker::is_bounce() const {
  if (message_.header.has("x-failed-recipients")) return true;
  const bool daemon = is_daemon();
  const bool subject = says(Says::bounce_subject, subject_);
  const bool body = says(Says::bounce_body, lower_);
  if (daemon && (subject || body || has_reply(notice_.substr(0, kPhraseBytes)))) return true;
  if (message_.type == "multipart/report" && (subject || body)) return true;
  const bool answer = subject_.rfind("re:", 0) == 0 || subject_.rfind("aw:", 0) == 0 ||
                      subject_.rfind("fwd:", 0) == 0 || subject_.rfind("fw:", 0) == 0;
  if (answer || (says_autoreply() && !body)) return false;
  return body && (subject || has_reply(notice_.substr(0, kPhraseBytes)));
}

bool Taker::is_delay() const {
  if (message_.header.has("x-failed-recipients")) return false;
  if (says(Says::final_failure, lower_) && !says(Says::delay, subject_)) return false;
  return says(Says::delay, subject_) || says(Says::delay, lower_);
}

/// Who failed, as far as the header and the return path tell.
std::vector<std::string> Taker::known_recipients() const {
  std::vector<std::string> known;
  for (const HeaderField& field : message_.header.all()) {
    if (field.name != "x-failed-recipients" && field.name != "x-failed-recipient") continue;
    for (const FoundAddress& one : find_addresses(field.value, kBlocksMax)) {
      known.emplace_back(one.text);
    }
  }
  if (known.empty() && !verp_.recipient.empty()) known.push_back(verp_.recipient);
  return known;
}

std::vector<std::string> Taker::our_addresses() const {
  std::vector<std::string> ours = envelope_recipients(message_);
  if (!sent_.sender.empty()) ours.push_back(sent_.sender);
  for (const std::string_view value : {message_.original.get("from"), message_.header.get("from"),
                                       message_.original.get("reply-to")}) {
    if (const std::string_view address = address_of(value); !address.empty()) {
      ours.emplace_back(address);
    }
  }
  return ours;
}

bool Taker::take_notice() {
  std::vector<NoticeRecipient> failed = read_notice(notice_, known_recipients(), our_addresses());
  // One address that the returned message was for, and that the notice speaks of or leaves out.
  const auto to = find_addresses(message_.original.get("to"), 2);
  if (to.size() == 1) {
    const std::string address(to.front().text);
    const bool named = ascii_lower(notice_).find(ascii_lower(address)) != std::string::npos;
    const bool listed = std::any_of(failed.begin(), failed.end(), [&](const NoticeRecipient& one) {
      return iequals(one.address, address);
    });
    if (failed.empty() || (named && !listed)) failed = read_notice(notice_, {address}, {});
  }
  const EventKind kind = is_delay() ? EventKind::deferred : EventKind::bounced;
  for (const NoticeRecipient& one : failed) {
    Fact fact;
    fact.kind = kind;
    fact.recipient = one.address;
    fact.reply = read_reply(one.words);
    if (fact.kind == EventKind::bounced && fact.reply.smtp_code / 100 == 4) {
      fact.kind = EventKind::expired;
    }
    add(fact);
  }
  return made_ != 0;
}

bool Taker::take_autoreply() {
  if (says(Says::challenge, subject_) || (says(Says::challenge, lower_) && !says_autoreply())) {
    ++batch_.counts.ignored;
    return true;
  }
  if (!says_autoreply()) return false;
  Fact fact;
  fact.kind = EventKind::autoreplied;
  fact.hint = ProviderHint::autoreply;
  fact.recipient = verp_.recipient.empty() ? address_of(message_.header.get("from"))
                                           : std::string_view(verp_.recipient);
  if (fact.recipient.empty()) return false;
  fact.reply.diagnostic = std::string(message_.header.get("subject").substr(0, 256));
  add(fact);
  if (made_ == 0) ++batch_.counts.ignored;
  return true;
}

// --- the row ------------------------------------------------------------------------------------

struct Piece {
  std::size_t begin = 0, end = 0;  ///< without its separator line
};

/// The mail at `at` of an mbox, or all of a text that is none.
Piece next_mail(std::string_view text, std::size_t at, bool mbox) {
  if (!mbox) return {at, text.size()};
  const std::size_t first = text.find('\n', at);
  if (first == kNone) return {text.size(), text.size()};
  Piece piece{first + 1, text.size()};
  for (std::size_t from = text.find("\nFrom ", first); from != kNone;
       from = text.find("\nFrom ", from + 1)) {
    const std::string_view line = text.substr(from + 1, text.find('\n', from + 1) - from - 1);
    const bool blank_before = from == first || text[from - 1] == '\n' ||
                              (from >= 2 && text[from - 1] == '\r' && text[from - 2] == '\n');
    if (!blank_before || !is_mbox_separator(line)) continue;
    piece.end = from + 1;
    break;
  }
  return piece;
}

bool is_mail_field(std::string_view name) {
  for (const std::string_view known : {"return-path",
                                       "received",
                                       "from",
                                       "to",
                                       "subject",
                                       "date",
                                       "message-id",
                                       "mime-version",
                                       "content-type",
                                       "auto-submitted",
                                       "delivered-to",
                                       "x-original-to",
                                       "reply-to",
                                       "sender",
                                       "x-envelope-from",
                                       "x-envelope-to",
                                       "envelope-to",
                                       "dkim-signature",
                                       "x-failed-recipients",
                                       "authentication-results",
                                       "arc-seal",
                                       "references",
                                       "in-reply-to",
                                       "precedence",
                                       "content-transfer-encoding"}) {
    if (name == known) return true;
  }
  return false;
}

}  // namespace

void take_mail(const Context& context, std::string_view mail, std::uint64_t offset,
               std::int64_t arrived_us, Batch& batch) {
  Taker(context, offset, arrived_us, batch).take(mail);
}

int probe_mail(std::string_view head) {
  const std::size_t newline = head.find('\n');
  if (is_mbox_separator(head.substr(0, newline))) return 95;
  Fields fields;
  read_fields(head.substr(0, std::size_t{16} << 10), fields);
  int known = 0;
  for (const HeaderField& field : fields.all()) known += is_mail_field(field.name);
  return known >= 3 ? 90 : known == 2 ? 50 : 0;
}

void parse_mail(const Context& context, Batch& batch) {
  const std::string_view text = batch.block->text();
  const bool mbox = is_mbox_separator(text.substr(0, text.find('\n')));
  for (std::size_t at = 0; at < text.size();) {
    const Piece piece = next_mail(text, at, mbox);
    if (piece.begin < piece.end || !mbox) {
      take_mail(context, text.substr(piece.begin, piece.end - piece.begin),
                batch.block->offset + at, batch.block->mtime_us, batch);
    }
    at = piece.end;
  }
}

}  // namespace bounced::parse
