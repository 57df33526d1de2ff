// Names of the contract's enums (include/bounced).
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/text.h"
#include "bounced/cause.h"
#include "bounced/event.h"
#include "bounced/policy.h"
#include "bounced/verdict.h"

namespace bounced {
namespace {

template <class Enum, std::size_t N>
std::string_view name_of(const std::array<std::string_view, N>& names, Enum value) {
  const auto n = static_cast<std::size_t>(value);
  return n < N ? names[n] : std::string_view{};
}

template <class Enum, std::size_t N>
bool value_of(const std::array<std::string_view, N>& names, std::string_view text, Enum& out) {
  for (std::size_t i = 0; i < N; ++i) {
    if (!names[i].empty() && names[i] == text) {
      out = static_cast<Enum>(i);
      return true;
    }
  }
  return false;
}

constexpr std::array<std::string_view, kBuiltinCauses> kCauses = {
    "",
    "mailbox.unknown",
    "mailbox.syntax",
    "mailbox.moved",
    "mailbox.disabled",
    "mailbox.full",
    "mailbox.full_inactive",
    "mailbox.filtered",
    "domain.unknown",
    "domain.incomplete",
    "domain.dns_temp",
    "domain.down",
    "network.connection",
    "network.expired",
    "network.tls",
    "routing.error",
    "routing.loop",
    "auth.sender",
    "auth.smtp",
    "sender.rejected",
    "sender.ip_listed",
    "sender.domain_listed",
    "sender.reputation",
    "sender.ptr_helo",
    "spam.content",
    "content.rejected",
    "content.attachment",
    "content.virus",
    "content.too_big",
    "policy.local",
    "policy.rfc",
    "rate.limited",
    "rate.connections",
    "rate.recipients",
    "rate.greylist",
    "system.error",
    "system.full",
    "relay.denied",
    "protocol.error",
    "notice.autoreply",
    "notice.challenge",
    "notice.subscription",
    "local.suppressed",
    "unknown.temporary",
    "unknown.permanent",
};
constexpr std::array<std::string_view, 5> kClasses = {"none", "hard", "soft", "blocked", "notice"};
constexpr std::array<std::string_view, 9> kFaults = {
    "unknown", "none", "recipient", "domain", "receiver", "network", "sender", "content", "local"};
constexpr std::array<std::string_view, 16> kCategories = {"",
                                                          "Temporary Domain Failure",
                                                          "Out of Office",
                                                          "Authentication Failure",
                                                          "Mailbox Full",
                                                          "Temporary Network Error",
                                                          "Content Related",
                                                          "Others",
                                                          "Sender Denied",
                                                          "Bad Domain",
                                                          "Bad Mailbox",
                                                          "Policy Related",
                                                          "Protocol Error",
                                                          "Relay Prohibited",
                                                          "Routing Error",
                                                          "Potential Spam"};
constexpr std::array<std::string_view, 3> kSeverities = {"none", "temporary", "permanent"};
constexpr std::array<std::string_view, kEventKinds> kKinds = {
    "none",        "delivered",  "relayed",      "deferred",     "bounced",
    "expired",     "complained", "unsubscribed", "resubscribed", "suppressed",
    "autoreplied", "discarded",  "probed"};
constexpr std::array<std::string_view, 7> kPhases = {"",     "connect", "helo", "mail",
                                                     "rcpt", "data",    "eod"};
constexpr std::array<std::string_view, kProviderHints> kHints = {
    "",          "hard",      "soft",      "blocked",    "full",        "dns",
    "transient", "autoreply", "challenge", "no_mailbox", "bad_mailbox", "spam",
    "content",   "too_big",   "network"};
constexpr std::array<std::string_view, kBlockKinds> kBlocks = {
    "none",      "dead",        "soft",   "incident", "filtered",
    "complaint", "unsubscribe", "manual", "provider"};
constexpr std::array<std::string_view, 4> kScopes = {"global", "tenant", "sending_domain",
                                                     "stream"};

}  // namespace

std::string_view builtin_cause_id(Cause cause) {
  return name_of(kCauses, cause);
}
Cause builtin_cause(std::string_view id) {
  Cause cause = Cause::none;
  value_of(kCauses, id, cause);
  return cause;
}

std::string_view to_string(BounceClass value) {
  return name_of(kClasses, value);
}
std::string_view to_string(Fault value) {
  return name_of(kFaults, value);
}
std::string_view to_string(Category value) {
  return name_of(kCategories, value);
}
std::string_view to_string(Severity value) {
  return name_of(kSeverities, value);
}
std::string_view to_string(EventKind kind) {
  return name_of(kKinds, kind);
}
std::string_view to_string(ProviderHint hint) {
  return name_of(kHints, hint);
}
std::string_view to_string(Phase phase) {
  return name_of(kPhases, phase);
}
std::string_view to_string(BlockKind kind) {
  return name_of(kBlocks, kind);
}
std::string_view to_string(BlockScope scope) {
  return name_of(kScopes, scope);
}

bool from_string(std::string_view text, BounceClass& out) {
  return value_of(kClasses, text, out);
}
bool from_string(std::string_view text, Fault& out) {
  return value_of(kFaults, text, out);
}
bool from_string(std::string_view text, EventKind& out) {
  return value_of(kKinds, text, out);
}
bool from_string(std::string_view text, Phase& out) {
  return value_of(kPhases, text, out);
}
bool from_string(std::string_view text, BlockKind& out) {
  return value_of(kBlocks, text, out);
}
bool from_string(std::string_view text, BlockScope& out) {
  return value_of(kScopes, text, out);
}

bool from_string(std::string_view text, Category& out) {
  std::string wanted = ascii_lower(text);
  for (char& c : wanted) {
    if (c == '_' || c == '-') c = ' ';
  }
  for (std::size_t i = 1; i < kCategories.size(); ++i) {
    if (ascii_lower(kCategories[i]) == wanted) {
      out = static_cast<Category>(i);
      return true;
    }
  }
  return false;
}

}  // namespace bounced
