// providers: what the world's mail providers tell over HTTP, to Events. One file and one table row
// each; formats, mapping and signatures as the providers document them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/batch.h"
#include "bounced/result.h"
#include "parse/parse.h"

namespace bounced::parse::providers {

struct Header {
  std::string_view name;  ///< lower case
  std::string_view value;
};

/// One HTTP request as it came; what it views lives for the call.
struct Request {
  std::string_view method;  ///< "POST"
  std::string_view target;  ///< path and query, as sent
  std::string_view url;     ///< what the provider was told to call (Mandrill signs it)
  std::span<const Header> headers;
  /// Raw bytes, content coding undone; kBlockPadding readable bytes follow.
  std::string_view body;
  std::string_view remote_ip;  ///< of the sender, behind trusted proxies
  std::int64_t now_us = 0;
  /// Of the first header of that (lower-case) name; empty when there is none.
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

/// [[webhook]] as configured; secrets are resolved ("file:", "env:" read).
struct EndpointConfig {
  std::string provider;                   ///< name of a row
  std::vector<std::string> secrets;       ///< any of them may have signed; meaning per provider
  std::vector<std::string> topics;        ///< SNS TopicArns that are ours
  std::vector<std::string> certificates;  ///< PEM, SNS signing certificates
  std::string basic_auth;                 ///< "user:password"
  std::string bearer;
  std::string auth_header, auth_value;  ///< custom header and what it must say
  std::vector<std::string> networks;    ///< CIDRs that may send
  bool allow_unsigned = false;          ///< nothing of the above is asked for
  std::int64_t replay_window_us = 0;    ///< 0 = the provider's default
};

enum class Check : std::uint8_t {
  ok,
  missing,   ///< no signature or credential in the request
  bad,       ///< it does not verify
  stale,     ///< outside the replay window
  not_ours,  ///< well signed, but another topic or account
  refused,   ///< from a network that may not send
};
std::string_view to_string(Check check);

/// The answers that make this provider do the right thing (reference: its retry rules).
struct Statuses {
  std::uint16_t accepted = 200;
  std::uint16_t overloaded = 503;  ///< come again: store errors and shutdown, too
  std::uint16_t unverified = 401;
  std::uint16_t malformed = 400;
  /// A signature that is not there or does not verify, a topic that is not ours; 0 = unverified.
  std::uint16_t unproven = 0;
};

/// What a verified request held, beside the events in its batch.
struct Parsed {
  enum class Kind : std::uint8_t {
    events,        ///< zero or more; accepted when durable
    ping,          ///< a test, a pre-flight: accepted, nothing to keep
    confirmation,  ///< the provider wants a URL visited (`detail`)
    malformed,     ///< not this provider's format; `detail` says why
  };
  Kind kind = Kind::events;
  std::string detail;
  std::uint32_t ignored = 0;   ///< events of no interest (opens, clicks)
  std::uint32_t unparsed = 0;  ///< items that looked like ours and could not be read
};

/// One row of the table.
struct Provider {
  std::string_view name;   ///< "sendgrid"
  std::string_view title;  ///< "Twilio SendGrid"
  Statuses statuses;
  std::int64_t retry_horizon_us;  ///< it tells an event again for so long
  std::string_view setup;         ///< what to enter there, for `webhook list`
};
std::span<const Provider> table();
const Provider* find(std::string_view name);

/// One [[webhook]]: keys prepared once, then any number of requests. Thread safety: const methods.
class Endpoint {
 public:
  /// Errors: unknown provider, a secret of the wrong form, nothing that authenticates.
  static Result<Endpoint> make(EndpointConfig config);
  ~Endpoint();
  Endpoint(Endpoint&&) noexcept;
  Endpoint& operator=(Endpoint&&) noexcept;

  [[nodiscard]] const Provider& provider() const;
  /// On the raw bytes, before anything is parsed; constant time where it compares secrets. `why` is
  /// for the log and never holds a secret.
  [[nodiscard]] Check verify(const Request& request, std::string& why) const;
  /// Events with texts in the batch's arena (the batch needs no block), times in UTC, and one
  /// Batch::keys entry each: equal for the same event told again. Requests to be answered before
  /// any key is known (HEAD, OPTIONS, test posts) come here unverified as `ping`s only.
  Parsed parse(const Context& context, const Request& request, Batch& batch) const;

 private:
  Endpoint();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A request as its provider would have signed it: headers to add, and the body to send instead.
struct Signed {
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};
/// For trying a set-up out, and for tests. `secret`: as the endpoint's, but a private key in PEM
/// where the endpoint has a public one or a certificate. Signs at request.now_us. Errors: usage (no
/// such provider, or it does not sign), data (the secret).
Result<Signed> sign(std::string_view provider, std::string_view secret, const Request& request);

/// A request to try a set-up out with: one delivery to kSampleRecipient, in the provider's form,
/// not signed. `id`: of message and event, so that no two are the same.
inline constexpr std::string_view kSampleRecipient = "webhook-sample@example.com";
struct Sample {
  std::string_view method = "POST";
  std::string_view content_type;  ///< of static lifetime; empty = no body
  std::string query;              ///< without '?'
  std::string body;
};
/// Nothing in it for a provider that is not in the table.
Sample sample(std::string_view provider, std::string_view id, std::int64_t now_us);

}  // namespace bounced::parse::providers
