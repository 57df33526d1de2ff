#include "parse/providers/item.h"

#include <algorithm>

#include "base/hash.h"
#include "base/message.h"
#include "base/text.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

constexpr std::size_t kTextBytesMax = 1024;
/// No format of the log table.
constexpr std::uint8_t kNoFormat = 0xff;
constexpr std::size_t kOriginsMax = 0xfffe;
/// Absent, and yet within the arena: there is no block to look into.
constexpr Text kNoText{Text::kArenaBit, 0};

bool reply_code(std::uint64_t code) {
  return code >= 200 && code <= 599;
}

/// Never inside a UTF-8 sequence.
std::string_view cut(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
  return text.substr(0, most);
}

}  // namespace

Text Sink::keep(std::string_view text, Text last, std::size_t most) {
  text = cut(text, most);
  if (text.empty()) return kNoText;
  if (!last.empty() && batch_.view(last) == text) return last;
  return batch_.add(text);
}

Text Sink::keep_bracketed(std::string_view id, Text last) {
  id = trim(id);
  if (id.empty() || id == "<>") return kNoText;
  if (id.front() == '<' && id.back() == '>') return keep(id, last, kMessageIdBytesMax);
  id_.assign(1, '<').append(cut(id, kMessageIdBytesMax - 2)).append(1, '>');
  return keep(id_, last, kMessageIdBytesMax);
}

/// The server's words come first, then what the provider read from them.
void Sink::set_codes(const Item& item, Event& event) {
  const Codes words = read_codes(item.words);
  const Codes status = read_codes(item.status);
  for (const std::uint64_t code :
       {std::uint64_t{words.smtp}, item.smtp_code, std::uint64_t{status.smtp}}) {
    if (event.smtp_code == 0 && reply_code(code)) {
      event.smtp_code = static_cast<std::uint16_t>(code);
    }
  }
  for (const EnhancedCode& code : {words.enhanced, item.enhanced, status.enhanced}) {
    if (!event.enhanced.present() && code.klass != 0) event.enhanced = code;
  }
}

/// "No such mailbox" counts in full only where nobody else says anything (providers.h).
void Sink::set_hint(const Item& item, Event& event) {
  event.hint = item.hint;
  if (event.kind == EventKind::suppressed && event.hint == ProviderHint::none) {
    event.hint = ProviderHint::hard;  // what makes it the provider's list, not our own
  }
  if (!event.failing()) return;
  const bool told = !trim(item.words).empty() || event.smtp_code != 0 || event.enhanced.present();
  if (told && event.hint == ProviderHint::no_mailbox) event.hint = ProviderHint::bad_mailbox;
  if (!told && !item.vague && event.hint == ProviderHint::hard) {
    event.hint = ProviderHint::bad_mailbox;
  }
}

/// A label that says "no such mailbox" has been judged already: no rule about servers' words may
/// read it again ("Invalid Address" -> "Invalid-Address").
std::string_view Sink::label_of(const Item& item, const Event& event) {
  const std::string_view label = trim(item.label);
  if (event.hint != ProviderHint::no_mailbox) return label;
  id_.assign(label);
  std::replace(id_.begin(), id_.end(), ' ', '-');
  return id_;
}

void Sink::set_texts(const Item& item, Event& event) {
  const std::string_view words = trim(item.words);
  event.sender = keep(bare_address(item.sender), last_.sender, kSenderBytesMax);
  event.message_id = keep_bracketed(
      usable_id(trim(item.message_id)) ? item.message_id : item.provider_id, last_.message_id);
  event.queue_id = keep(trim(item.provider_id), last_.queue_id, kTextBytesMax);
  event.mta_host = keep(trim(item.mta_host), last_.mta_host, kTextBytesMax);
  event.mta_ip = keep(trim(item.mta_ip), last_.mta_ip, kTextBytesMax);
  event.sending_ip = keep(trim(item.sending_ip), last_.sending_ip, kTextBytesMax);
  event.campaign = keep(trim(item.campaign), last_.campaign, kCampaignBytesMax);
  event.diagnostic = keep(words.empty() ? label_of(item, event) : words, last_.diagnostic,
                          limits::kDiagnosticBytesMax);
  const std::string_view own = trim(item.provider_id);
  if (item.known_by_id && !own.empty()) {
    event.message = message_fingerprint(own);
  } else if (!event.message_id.empty()) {
    event.message = message_fingerprint(batch_.view(event.message_id));
  }
}

void Sink::set_times(const Item& item, Event& event) const {
  constexpr std::int64_t kMsUs = 1000;
  constexpr std::uint64_t kDelayMaxMs = 40ull * 86'400 * 1000;  // longer: one of the times is wrong
  event.time_us = item.time_us != 0 ? item.time_us : now_us_;
  event.time_form = TimeForm::utc;
  if (item.kind != EventKind::delivered && !item.failing()) return;
  std::uint64_t delay_ms = item.delay_ms;
  if (delay_ms == 0 && item.sent_us != 0 && item.time_us > item.sent_us) {
    delay_ms = static_cast<std::uint64_t>((item.time_us - item.sent_us) / kMsUs);
  }
  if (delay_ms <= kDelayMaxMs) event.delay_ms = static_cast<std::uint32_t>(delay_ms);
}

/// Stream and tenant in the provider's words: [[stream]] rules know them as the instance.
std::uint16_t Sink::origin_of(std::string_view stream, std::string_view tenant) {
  stream = cut(trim(stream), kTextBytesMax);
  tenant = cut(trim(tenant), kTextBytesMax);
  material_.assign(provider_).append(1, '\0').append(tenant).append(1, '\0').append(stream);
  const std::uint64_t hash = hash64(material_);
  for (std::size_t i = batch_.origins.size(); i-- > 0;) {
    if (batch_.origins[i].hash == hash) return static_cast<std::uint16_t>(i + 1);
    if (batch_.origins.size() - i > 16) break;  // rather one too many than a search per event
  }
  if (batch_.origins.size() >= kOriginsMax) return 0;
  batch_.origins.push_back(
      {keep(tenant, {}, kTextBytesMax), keep(stream, {}, kTextBytesMax), hash});
  return static_cast<std::uint16_t>(batch_.origins.size());
}

/// By the event's own id where there is one to rely on, else by what it says. Sizes stand before
/// the texts, so that no two events can be the same bytes by chance or by design.
AddressId Sink::key_of(const Item& item, const Event& event) {
  constexpr std::size_t kTexts = 3;
  struct Head {
    AddressId recipient;
    std::int64_t time_us = 0;
    std::uint32_t sizes[kTexts] = {};
    std::uint16_t smtp_code = 0;
    EventKind kind = EventKind::none;
    std::uint8_t by_id = 0;
  } head;
  static_assert(std::has_unique_object_representations_v<Head>);  // no padding in the key
  const bool by_id = !item.id.empty();
  const std::string_view texts[kTexts] = {
      provider_, by_id ? item.id : batch_.view(event.message_id),
      by_id ? std::string_view{} : batch_.view(event.diagnostic)};
  head.recipient = event.recipient_id;
  head.time_us = item.time_us;
  head.smtp_code = by_id ? std::uint16_t{0} : event.smtp_code;
  head.kind = item.kind;
  head.by_id = by_id ? 1 : 0;
  for (std::size_t i = 0; i < kTexts; ++i) {
    head.sizes[i] = static_cast<std::uint32_t>(texts[i].size());
  }
  material_.assign(reinterpret_cast<const char*>(&head), sizeof head);
  for (const std::string_view text : texts) material_.append(text);
  return context_.hasher->normal_id(material_);
}

void Sink::add(const Item& item) {
  const std::string_view recipient = bare_address(item.recipient);
  NormalisedAddress address;
  Event event;
  if (recipient.find('@') == std::string_view::npos ||
      !context_.hasher->address(recipient, address, event.recipient_id)) {
    ++batch_.counts.bad_recipient;
    return unparsed();
  }
  event.domain_id = context_.hasher->domain_id(address.domain());
  event.kind = item.kind;
  event.phase = item.phase;
  event.format = kNoFormat;
  event.recipient = keep(recipient, last_.recipient, kTextBytesMax);
  set_codes(item, event);
  set_hint(item, event);
  set_texts(item, event);
  set_times(item, event);
  if (!trim(item.stream).empty() || !trim(item.tenant).empty()) {
    event.origin = origin_of(item.stream, item.tenant);
  }
  const AddressId key = key_of(item, event);
  event.id = key.hi ^ key.lo;
  batch_.times.see(event.time_us, TimeForm::utc);
  batch_.events.push_back(event);
  batch_.keys.push_back(key);
  last_ = event;
}

}  // namespace bounced::parse::providers
