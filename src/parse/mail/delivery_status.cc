#include "parse/mail/delivery_status.h"

#include <array>

#include "base/text.h"
#include "parse/mail/fields.h"
#include "parse/postfix_reason.h"

namespace bounced::parse::mail {
namespace {

/// "rfc822; user@example.com" -> type (lower case) and value. A value may hold ';' of its own.
struct Typed {
  std::string type;
  std::string_view value;
};
Typed split_type(std::string_view text) {
  const std::size_t semicolon = text.find(';');
  if (semicolon == std::string_view::npos || semicolon > 24) return {"", trim(text)};
  const std::string_view type = trim(text.substr(0, semicolon));
  if (type.find_first_of(" @<\"") != std::string_view::npos) return {"", trim(text)};
  return {ascii_lower(type), trim(text.substr(semicolon + 1))};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// RFC 3461 section 4: "+2B" is '+'. Most MTAs decode before they report, so what is not needed in
/// xtext is left alone: "contact+ab@" and "contact+AB@" are subaddresses.
std::string decode_xtext(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && i + 2 < text.size()) {
      const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
      const int code = high < 0 || low < 0 ? -1 : high * 16 + low;
      const bool at = code == '@' && text.find('@') == std::string_view::npos;
      if (code == '+' || code == '=' || code == ' ' || code == '"' || code == '\\' || at) {
        out += static_cast<char>(code);
        i += 2;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

void append_utf8(std::string& out, std::uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

/// RFC 6533 section 3: "\x{5186}" in utf-8-addr-xtext and utf-8-addr-unitext.
std::string decode_unitext(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t close = text.find('}', i);
    if (text.substr(i, 3) != "\\x{" || close == std::string_view::npos || close - i > 9) {
      out += text[i++];
      continue;
    }
    std::uint32_t c = 0;
    bool good = close > i + 3;
    for (const char digit : text.substr(i + 3, close - i - 3)) {
      const int d = hex_digit(digit >= 'a' && digit <= 'f' ? static_cast<char>(digit - 32) : digit);
      good = good && d >= 0;
      c = c * 16 + static_cast<std::uint32_t>(d < 0 ? 0 : d);
    }
    if (good && c >= 0x20 && c < 0x110000 && (c < 0xD800 || c > 0xDFFF)) append_utf8(out, c);
    i = close + 1;
  }
  return out;
}

/// The address of a recipient field: <> and a trailing comment go.
std::string_view bare_recipient(std::string_view value) {
  const std::string_view found = address_of(value);
  if (!found.empty()) return found;
  if (value.size() > 1 && value.front() == '<' && value.back() == '>') {
    value = value.substr(1, value.size() - 2);
  }
  const std::size_t comment = value.find(" (");
  return trim(value.substr(0, comment));
}

std::string recipient_of(std::string_view field) {
  const Typed typed = split_type(field);
  if (typed.type == "utf-8") return decode_unitext(bare_recipient(typed.value));
  return std::string(bare_recipient(typed.value));
}

/// "dns; mx.example.com (192.0.2.1, the server for the domain.)"; also "[192.0.2.1]" alone.
void read_remote(std::string_view field, RecipientStatus& out) {
  const std::string_view value = split_type(field).value;
  const std::size_t open = value.find_first_of("[(");
  out.remote_mta = std::string(trim(value.substr(0, std::min(open, value.find(' ')))));
  while (!out.remote_mta.empty() && out.remote_mta.back() == '.') out.remote_mta.pop_back();
  if (open == std::string_view::npos) return;
  const std::size_t end = value.find_first_of("]), ", open + 1);
  std::string_view ip =
      value.substr(open + 1, end == std::string_view::npos ? end : end - open - 1);
  if (ip.substr(0, 1) == "[") ip.remove_prefix(1);
  const bool plain = ip.find_first_not_of("0123456789abcdefABCDEF:.") == std::string_view::npos;
  if (plain && ip.find_first_of(".:") != std::string_view::npos) out.remote_ip = std::string(ip);
}

void set_diagnostic(std::string_view field, RecipientStatus& out) {
  const Typed typed = split_type(field);
  out.diagnostic_type = typed.type;
  out.diagnostic = std::string(typed.value);
}

bool set_recipient_field(const HeaderField& field, RecipientStatus& out) {
  const std::string_view name = field.name;
  if (name == "final-recipient") {
    out.final_recipient = recipient_of(field.value);
  } else if (name == "original-recipient") {
    const Typed typed = split_type(field.value);
    out.original_recipient = recipient_of(field.value);
    if (typed.type != "utf-8") out.original_recipient = decode_xtext(out.original_recipient);
  } else if (name == "action") {
    out.action = ascii_lower(field.value.substr(0, field.value.find_first_of(" (;")));
  } else if (name == "status") {
    out.status = field.value.substr(0, field.value.find_first_of(" (;"));
  } else if (name == "diagnostic-code") {
    if (out.diagnostic.empty()) set_diagnostic(field.value, out);
  } else if (name == "x-supplementary-info" || name == "x-display-name") {
    return true;
  } else if (name == "remote-mta" || name == "remote-recipient-mta") {
    read_remote(field.value, out);
  } else if (name == "last-attempt-date") {
    out.last_attempt = field.value;
  } else if (name == "final-log-id") {
    out.queue_id = field.value;
  } else if (name == "x-actual-recipient") {
    if (out.final_recipient.empty()) out.final_recipient = recipient_of(field.value);
  } else {
    return false;
  }
  return true;
}

void set_message_field(const HeaderField& field, DeliveryStatus& out) {
  const std::string_view name = field.name;
  if (name == "reporting-mta") {
    out.reporting_mta = std::string(split_type(field.value).value);
  } else if (name == "arrival-date") {
    out.arrival_date = field.value;
  } else if (name == "original-envelope-id") {
    out.envelope_id = field.value;
  } else if (name == "x-postfix-queue-id" || name == "x-queue-id" || name == "x-halon-id" ||
             name == "x-momentum-id") {
    out.queue_id = field.value;
  } else if (name == "x-postfix-sender" || name == "x-sender") {
    out.sender = std::string(address_of(field.value));
  }
}

/// Some MTAs (Postfix with SMTPUTF8, milters in between) write "X-Postfix-Queue-ID" under the name
/// of their own product: "X-<product>-Queue-ID", "X-<product>-Sender".
HeaderField plain_name(HeaderField field) {
  const auto ends = [&](std::string_view suffix) {
    return field.name.size() > suffix.size() &&
           field.name.compare(field.name.size() - suffix.size(), suffix.size(), suffix) == 0;
  };
  if (field.name.rfind("x-", 0) != 0) return field;
  if (ends("-queue-id")) field.name = "x-queue-id";
  if (ends("-sender")) field.name = "x-sender";
  return field;
}

}  // namespace

std::string_view RecipientStatus::recipient() const {
  if (plausible_address(original_recipient)) return original_recipient;
  return final_recipient;
}

DeliveryStatus read_delivery_status(std::string_view text) {
  DeliveryStatus out;
  while (!trim(text).empty()) {
    Fields fields;
    std::size_t taken = read_fields(text, fields);
    if (taken == 0 || fields.empty()) {
      // A line that is no field: skipped.
      const std::size_t start = text.find_first_not_of(" \t\r\n");
      const std::size_t newline = text.find('\n', start == std::string_view::npos ? 0 : start);
      taken = newline == std::string_view::npos ? text.size() : newline + 1;
    }
    text.remove_prefix(taken);
    RecipientStatus current;
    bool has = false;
    const auto finish = [&] {
      if (has && out.recipients.size() < kBlocksMax) out.recipients.push_back(std::move(current));
      current = RecipientStatus{};
      has = false;
    };
    for (const HeaderField& field : fields.all()) {
      if (field.name == "final-recipient" && !current.final_recipient.empty()) finish();
      if (set_recipient_field(field, current)) {
        has = has || field.name == "final-recipient" || field.name == "original-recipient" ||
              field.name == "x-actual-recipient";
      } else {
        set_message_field(plain_name(field), out);
      }
    }
    // A blank line in the middle of a block: what follows belongs to the recipient before.
    if (!has && !out.recipients.empty() && !current.action.empty()) {
      RecipientStatus& last = out.recipients.back();
      if (last.action.empty()) last.action = current.action;
      if (last.status.empty()) last.status = current.status;
      if (last.diagnostic.empty()) last.diagnostic = current.diagnostic;
      if (last.remote_mta.empty()) last.remote_mta = current.remote_mta;
    }
    finish();
  }
  return out;
}

EnhancedCode read_status(std::string_view text) {
  EnhancedCode code;
  text = trim(text);
  const char* p = text.data();
  const char* const end = p + text.size();
  if (!read_enhanced(p, end, code)) return {};
  return code;
}

}  // namespace bounced::parse::mail
