// verp: variable envelope return paths: the recipient, and a proof, in the address a bounce comes
// to.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bounced::parse::mail {

/// How our return paths name their recipient.
struct VerpOptions {
  /// "bounce+{hmac}+{local}={domain}@mail.example.com"; {any} stands for what says nothing. Tried
  /// in order. Empty: the usual forms, prefix+local=domain@ and prefix-local=domain@.
  std::vector<std::string> patterns;
  /// Keys of {hmac}: any of them proves (so that they can be changed). Never printed.
  std::vector<std::string> secrets;
};

struct Verp {
  std::string recipient;  ///< local@domain; empty = the address names nobody
  bool proven = false;    ///< its HMAC is right: we have sent to that recipient
};

/// Hex digits of the HMAC that are looked at; fewer than kHmacDigitsMin prove nothing.
inline constexpr std::size_t kHmacDigitsMin = 12;

/// The recipient that the return path names. Never fails; a wrong HMAC proves nothing, and then the
/// recipient is what the address says.
Verp decode_verp(const VerpOptions& options, std::string_view address);

/// What {hmac} must be for a recipient: lower-case hex of HMAC-SHA-256 over the lower-case
/// local@domain, 16 digits.
std::string verp_hmac(std::string_view secret, std::string_view recipient);

/// Why the pattern cannot be used; empty when it can.
std::string check_verp_pattern(std::string_view pattern);

}  // namespace bounced::parse::mail
