// Causes of failed delivery: one stable id per cause, and what belongs to it.
// Meaning, advice, class, fault and categories are data: rules/causes.toml.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bounced {

/// A cause's number. Built-in causes are this enum; operators' own follow from kFirstCustomCause.
/// The numbers are stored: append only.
enum class Cause : std::uint16_t {
  none = 0,
  mailbox_unknown,
  mailbox_syntax,
  mailbox_moved,
  mailbox_disabled,
  mailbox_full,
  mailbox_full_inactive,
  mailbox_filtered,
  domain_unknown,
  domain_incomplete,
  domain_dns_temp,
  domain_down,
  network_connection,
  network_expired,
  network_tls,
  routing_error,
  routing_loop,
  auth_sender,
  auth_smtp,
  sender_rejected,
  sender_ip_listed,
  sender_domain_listed,
  sender_reputation,
  sender_ptr_helo,
  spam_content,
  content_rejected,
  content_attachment,
  content_virus,
  content_too_big,
  policy_local,
  policy_rfc,
  rate_limited,
  rate_connections,
  rate_recipients,
  rate_greylist,
  system_error,
  system_full,
  relay_denied,
  protocol_error,
  notice_autoreply,
  notice_challenge,
  notice_subscription,
  local_suppressed,
  unknown_temporary,
  unknown_permanent,
};

/// Notices, and our own refusals come back: whatever kind of event tells it, nothing has failed.
constexpr bool is_no_failure(Cause cause) {
  return cause == Cause::local_suppressed || cause == Cause::notice_autoreply ||
         cause == Cause::notice_challenge || cause == Cause::notice_subscription;
}
inline constexpr std::uint16_t kBuiltinCauses = 45;  // with none
inline constexpr std::uint16_t kFirstCustomCause = 256;

/// The stable id of a built-in cause ("mailbox.unknown"); empty for none and custom causes.
std::string_view builtin_cause_id(Cause cause);
/// Cause::none when there is no such built-in.
Cause builtin_cause(std::string_view id);

/// hard: this address or domain is dead. soft: may work later. blocked: refused because of us.
enum class BounceClass : std::uint8_t { none, hard, soft, blocked, notice };
enum class Fault : std::uint8_t {
  unknown,
  none,
  recipient,
  domain,
  receiver,
  network,
  sender,
  content,
  local
};
/// Zoho CRM bounce categories (reference: taxonomy).
enum class Category : std::uint8_t {
  none,
  temporary_domain_failure,
  out_of_office,
  authentication_failure,
  mailbox_full,
  temporary_network_error,
  content_related,
  others,
  sender_denied,
  bad_domain,
  bad_mailbox,
  policy_related,
  protocol_error,
  relay_prohibited,
  routing_error,
  potential_spam,
};

std::string_view to_string(BounceClass value);  // "hard"
std::string_view to_string(Fault value);        // "recipient"
std::string_view to_string(Category value);     // "Bad Mailbox"
bool from_string(std::string_view text, BounceClass& out);
bool from_string(std::string_view text, Fault& out);
/// Accepts the display name ("Bad Mailbox") and the snake form ("bad_mailbox").
bool from_string(std::string_view text, Category& out);

/// One row of rules/causes.toml.
struct CauseInfo {
  Cause cause = Cause::none;
  std::string id;
  BounceClass bounce_class = BounceClass::none;
  Fault fault = Fault::unknown;
  Category category_temporary = Category::none;
  Category category_permanent = Category::none;
  bool temporary_by_nature = false;  ///< severity is temporary whatever the server said
  std::string meaning;               ///< one line
  std::string advice;                ///< one line: what the operator should do
};

}  // namespace bounced
