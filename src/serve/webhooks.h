// Webhooks: endpoints by path; a request is verified, parsed, made durable, then answered.
//
// Thread safety: every method from any thread. Endpoints are fixed once made; counters are atomic.
#pragma once

#include <absl/functional/any_invocable.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "net/http_server.h"
#include "parse/providers/providers.h"

namespace bounced::serve {

/// A [[webhook]] as configured.
struct WebhookSettings {
  parse::providers::EndpointConfig endpoint;
  std::string name;   ///< source of its events; empty = the provider's name
  std::string path;   ///< "/hooks/sendgrid"
  std::string token;  ///< unguessable last part of the path: PATH/TOKEN; empty = none
  std::string url;    ///< what the provider was told to call, for schemes that sign it
  std::string tenant, stream;
  std::uint16_t overloaded = 0;  ///< status in place of the provider's; 0 = that one
};

/// A request that was not accepted, as kept to look at: cut, secrets and addresses taken out.
struct Rejected {
  std::int64_t time_us = 0;
  std::string endpoint, remote_ip, reason;
  unsigned status = 0;
  std::string request;  ///< request line, headers, begin of the body
};

/// An endpoint's figures.
struct WebhookFigures {
  std::string name, provider, path;
  std::uint64_t requests = 0, accepted = 0, events = 0, ignored = 0, unparsed = 0;
  std::uint64_t unverified = 0, malformed = 0, overloaded = 0, failed = 0, pings = 0;
  std::int64_t last_us = 0;           ///< when events were last accepted; 0 = never
  std::int64_t last_rejected_us = 0;  ///< 0 = never
  std::string confirmation;           ///< a URL that the provider wants visited; empty = none
};

class Webhooks {
 public:
  struct Sink {
    /// Number of a source of events. Errors end the start.
    std::function<Result<std::uint32_t>(const WebhookSettings&, std::int64_t horizon_us)> add;
    using Done = absl::AnyInvocable<void(const Result<void>&)>;
    /// Makes the batch durable; `done` once, on any thread. Takes what it needs before it returns.
    std::function<void(std::uint32_t source, const Batch& batch, Done done)> accept;
  };
  static constexpr std::size_t kRejectedMax = 100;

  /// Errors: usage (an endpoint's settings), and what Sink::add says.
  static Result<std::unique_ptr<Webhooks>> make(std::vector<WebhookSettings> settings,
                                                parse::Context context, Sink sink);
  ~Webhooks();

  /// To be given to a server. They must not outlive this.
  [[nodiscard]] std::vector<net::HttpRoute> routes();
  /// From now on everything is refused with the status that makes the provider come again.
  void drain() { draining_ = true; }
  [[nodiscard]] std::vector<WebhookFigures> figures() const;
  /// The last ones, newest first.
  [[nodiscard]] std::vector<Rejected> rejected() const;

 private:
  struct Endpoint;
  Webhooks();
  void handle(const std::shared_ptr<Endpoint>& at, const net::HttpRequest& request,
              net::Responder responder);
  static unsigned refusal(const Endpoint& endpoint, const parse::providers::Request& request,
                          parse::providers::Check check);
  void accept(const std::shared_ptr<Endpoint>& endpoint, const Batch& batch,
              net::Responder responder);
  void reject(Endpoint& endpoint, const net::HttpRequest& request, unsigned status,
              const std::string& reason, net::Responder responder);

  /// Shared with those that wait to be durable: they may outlive this.
  std::vector<std::shared_ptr<Endpoint>> endpoints_;
  parse::Context context_;
  Sink sink_;
  std::atomic<bool> draining_{false};
  mutable std::mutex mutex_;
  std::deque<Rejected> rejected_;  ///< guarded by mutex_
};

/// What is kept of a request: values of headers that may hold secrets, the query and the local
/// parts of addresses are taken out; at most `bytes_max` of the body.
std::string redacted(const net::HttpRequest& request, std::string_view path_shown,
                     std::size_t bytes_max);

}  // namespace bounced::serve
