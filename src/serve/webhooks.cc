#include "serve/webhooks.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

namespace bounced::serve {
namespace {

using parse::providers::Check;
using parse::providers::Parsed;

constexpr std::size_t kRejectedBodyBytes = 2048, kRejectedBytes = 8192;
constexpr std::string_view kRetryAfterSeconds = "10";

/// Requests whose answer carries nothing but a status.
net::HttpResponse status_only(unsigned status) {
  net::HttpResponse response;
  response.status = status;
  if (status == 200) response.body = "ok\n";
  if (status == 401) response.headers.emplace_back("WWW-Authenticate", "Basic realm=\"bounced\"");
  if (status == 429 || status == 503) {
    response.headers.emplace_back("Retry-After", kRetryAfterSeconds);
  }
  return response;
}

bool is_secret(std::string_view header) {
  for (const std::string_view word : {"auth", "cookie", "token", "secret", "key", "password"}) {
    if (header.find(word) != std::string_view::npos) return true;
  }
  return false;
}

bool in_local_part(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view(".!#$&'*+-/=?^_`{|}~%").find(c) != std::string_view::npos;
}

/// "someone@example.com" -> "***@example.com".
std::string without_addresses(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == '@') {
      const std::size_t end = out.size();
      std::size_t from = end;
      while (from > 0 && in_local_part(out[from - 1])) --from;
      if (from != end) out.replace(from, end - from, "***");
    }
    out += c;
  }
  return out;
}

}  // namespace

/// One [[webhook]]; stays where it is while routes point to it.
struct Webhooks::Endpoint {
  Endpoint(WebhookSettings s, parse::providers::Endpoint e)
      : settings(std::move(s)), endpoint(std::move(e)) {}
  WebhookSettings settings;
  parse::providers::Endpoint endpoint;
  std::uint32_t source = 0;
  parse::providers::Statuses statuses;
  struct {
    std::atomic<std::uint64_t> requests{0}, accepted{0}, events{0}, ignored{0}, unparsed{0};
    std::atomic<std::uint64_t> unverified{0}, malformed{0}, overloaded{0}, failed{0}, pings{0};
    std::atomic<std::int64_t> last_us{0}, last_rejected_us{0};
  } count;
  std::mutex mutex;
  std::string confirmation;  ///< guarded by mutex
};

Webhooks::Webhooks() = default;
Webhooks::~Webhooks() = default;

Result<std::unique_ptr<Webhooks>> Webhooks::make(std::vector<WebhookSettings> settings,
                                                 parse::Context context, Sink sink) {
  std::unique_ptr<Webhooks> made(new Webhooks());
  made->context_ = std::move(context);
  made->sink_ = std::move(sink);
  for (WebhookSettings& s : settings) {
    if (s.name.empty()) s.name = s.endpoint.provider;
    auto endpoint = parse::providers::Endpoint::make(s.endpoint);
    if (!endpoint) return tl::unexpected(endpoint.error());
    const auto& provider = endpoint->provider();
    auto source = made->sink_.add(s, provider.retry_horizon_us);
    if (!source) return tl::unexpected(source.error());
    auto entry = std::make_shared<Endpoint>(std::move(s), std::move(*endpoint));
    entry->source = *source;
    entry->statuses = provider.statuses;
    if (entry->settings.overloaded != 0) entry->statuses.overloaded = entry->settings.overloaded;
    made->endpoints_.push_back(std::move(entry));
  }
  return made;
}

/// Status for what was not verified.
unsigned Webhooks::refusal(const Endpoint& endpoint, const parse::providers::Request& request,
                           Check check) {
  const auto& config = endpoint.settings.endpoint;
  const bool challenge = !config.basic_auth.empty() && request.header("authorization").empty();
  if (endpoint.statuses.unproven == 0 || challenge || check == Check::refused) {
    return endpoint.statuses.unverified;
  }
  return endpoint.statuses.unproven;
}

std::vector<net::HttpRoute> Webhooks::routes() {
  std::vector<net::HttpRoute> routes;
  for (const auto& endpoint : endpoints_) {
    const WebhookSettings& s = endpoint->settings;
    net::HttpRoute route;
    route.path = s.token.empty() ? s.path : s.path + "/" + s.token;
    route.label = s.token.empty() ? s.path : s.path + "/...";
    route.handler = [this, e = endpoint](const net::HttpRequest& request,
                                         net::Responder responder) {
      handle(e, request, std::move(responder));
    };
    routes.push_back(std::move(route));
  }
  return routes;
}

void Webhooks::handle(const std::shared_ptr<Endpoint>& at, const net::HttpRequest& request,
                      net::Responder responder) {
  Endpoint& endpoint = *at;
  endpoint.count.requests.fetch_add(1, std::memory_order_relaxed);
  parse::providers::Request asked;
  // Kept from one request to the next, as the batch is: they have their memory.
  thread_local std::vector<parse::providers::Header> headers;
  thread_local Batch batch;
  headers.clear();
  for (const net::HttpHeader& h : request.headers) headers.push_back({h.name, h.value});
  asked.method = request.method;
  asked.target = request.target;
  asked.url = endpoint.settings.url;
  asked.headers = headers;
  asked.body = request.body;
  asked.remote_ip = request.remote_ip;
  asked.now_us = system_clock().now_us();
  const bool with_body = request.method == "POST" || request.method == "PUT";
  if (with_body && draining_.load(std::memory_order_relaxed)) {
    endpoint.count.overloaded.fetch_add(1, std::memory_order_relaxed);
    return responder.answer(status_only(endpoint.statuses.overloaded));
  }
  std::string why;
  const Check check = endpoint.endpoint.verify(asked, why);
  if (check != Check::ok) {
    endpoint.count.unverified.fetch_add(1, std::memory_order_relaxed);
    return reject(endpoint, request, refusal(endpoint, asked, check),
                  fmt::format("{}: {}", parse::providers::to_string(check), why),
                  std::move(responder));
  }
  batch.clear();
  const Parsed parsed = endpoint.endpoint.parse(context_, asked, batch);
  endpoint.count.ignored.fetch_add(parsed.ignored, std::memory_order_relaxed);
  endpoint.count.unparsed.fetch_add(parsed.unparsed, std::memory_order_relaxed);
  switch (parsed.kind) {
    case Parsed::Kind::events:
      return accept(at, batch, std::move(responder));
    case Parsed::Kind::malformed:
      endpoint.count.malformed.fetch_add(1, std::memory_order_relaxed);
      return reject(endpoint, request, endpoint.statuses.malformed, "malformed: " + parsed.detail,
                    std::move(responder));
    case Parsed::Kind::confirmation: {
      spdlog::warn("webhook {}: the provider wants this address visited: {}",
                   endpoint.settings.name, printable(parsed.detail));
      const std::lock_guard lock(endpoint.mutex);
      endpoint.confirmation = parsed.detail.substr(0, kRejectedBytes);
      break;
    }
    case Parsed::Kind::ping:
      break;
  }
  endpoint.count.pings.fetch_add(1, std::memory_order_relaxed);
  net::HttpResponse response = status_only(endpoint.statuses.accepted);
  // CloudEvents' abuse protection: who asks by OPTIONS is told that it may send.
  if (request.method == "OPTIONS" && !parsed.detail.empty() &&
      parsed.detail.find_first_of("\r\n") == std::string::npos) {
    response.headers.emplace_back("WebHook-Allowed-Origin", parsed.detail);
    response.headers.emplace_back("WebHook-Allowed-Rate", "*");
  }
  responder.answer(std::move(response));
}

void Webhooks::accept(const std::shared_ptr<Endpoint>& endpoint, const Batch& batch,
                      net::Responder responder) {
  if (batch.events.empty()) {
    endpoint->count.accepted.fetch_add(1, std::memory_order_relaxed);
    return responder.answer(status_only(endpoint->statuses.accepted));
  }
  const std::uint64_t events = batch.events.size();
  sink_.accept(
      endpoint->source, batch,
      [endpoint, to = std::move(responder), events](const Result<void>& result) mutable {
        auto& count = endpoint->count;
        if (result) {
          count.accepted.fetch_add(1, std::memory_order_relaxed);
          count.events.fetch_add(events, std::memory_order_relaxed);
          count.last_us.store(system_clock().now_us(), std::memory_order_relaxed);
          return to.answer(status_only(endpoint->statuses.accepted));
        }
        const bool overloaded =
            result.error().code == ErrorCode::busy || result.error().code == ErrorCode::cancelled;
        (overloaded ? count.overloaded : count.failed).fetch_add(1, std::memory_order_relaxed);
        to.answer(status_only(endpoint->statuses.overloaded));
      });
}

void Webhooks::reject(Endpoint& endpoint, const net::HttpRequest& request, unsigned status,
                      const std::string& reason, net::Responder responder) {
  Rejected rejected;
  rejected.time_us = system_clock().now_us();
  rejected.endpoint = endpoint.settings.name;
  rejected.remote_ip = net::masked_ip(request.remote_ip);
  rejected.reason = without_addresses(reason).substr(0, 512);
  rejected.status = status;
  rejected.request = redacted(request, endpoint.settings.path, kRejectedBodyBytes);
  endpoint.count.last_rejected_us.store(rejected.time_us, std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    if (rejected_.size() >= kRejectedMax) rejected_.pop_back();
    rejected_.push_front(std::move(rejected));
  }
  responder.answer(status_only(status));
}

std::vector<WebhookFigures> Webhooks::figures() const {
  std::vector<WebhookFigures> all;
  for (const auto& endpoint : endpoints_) {
    const auto read = [](const auto& counter) { return counter.load(std::memory_order_relaxed); };
    const auto& count = endpoint->count;
    WebhookFigures f;
    f.name = endpoint->settings.name;
    f.provider = endpoint->endpoint.provider().name;
    f.path = endpoint->settings.path;
    f.requests = read(count.requests);
    f.accepted = read(count.accepted);
    f.events = read(count.events);
    f.ignored = read(count.ignored);
    f.unparsed = read(count.unparsed);
    f.unverified = read(count.unverified);
    f.malformed = read(count.malformed);
    f.overloaded = read(count.overloaded);
    f.failed = read(count.failed);
    f.pings = read(count.pings);
    f.last_us = read(count.last_us);
    f.last_rejected_us = read(count.last_rejected_us);
    const std::lock_guard lock(endpoint->mutex);
    f.confirmation = endpoint->confirmation;
    all.push_back(std::move(f));
  }
  return all;
}

std::vector<Rejected> Webhooks::rejected() const {
  const std::lock_guard lock(mutex_);
  return {rejected_.begin(), rejected_.end()};
}

std::string redacted(const net::HttpRequest& request, std::string_view path_shown,
                     std::size_t bytes_max) {
  std::string text = fmt::format("{} {}{}\n", printable(request.method), path_shown,
                                 request.target.find('?') == std::string_view::npos ? "" : "?...");
  for (const net::HttpHeader& h : request.headers) {
    if (text.size() > kRejectedBytes) break;
    text += fmt::format(
        "{}: {}\n", printable(h.name),
        is_secret(h.name) ? "..." : printable(without_addresses(h.value.substr(0, 512))));
  }
  const std::string_view body = request.body.substr(0, bytes_max);
  text += "\n" + printable(without_addresses(body));
  if (body.size() < request.body.size()) {
    text += fmt::format("\n... {} bytes in all", request.body.size());
  }
  return text;
}

}  // namespace bounced::serve
