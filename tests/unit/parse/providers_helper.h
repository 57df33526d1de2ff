// Requests for tests of parse/providers, and their events as text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "parse/providers/providers.h"

namespace bounced::parse::providers::testing {

/// 2026-11-22T12:00:00Z.
inline constexpr std::int64_t kNowUs = 1'795'348'800 * kSecondUs;

/// A request that owns its bytes.
struct Post {
  std::string method = "POST";
  std::string target = "/hook";
  std::string url = "https://mx.example/hook";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string remote_ip = "192.0.2.7";
  std::int64_t now_us = kNowUs;

  /// Calls with the request; the body is padded as providers.h asks.
  template <class F>
  auto with(F&& call) const {
    std::vector<Header> views;
    for (const auto& [name, value] : headers) views.push_back({name, value});
    std::vector<char> padded(body.begin(), body.end());
    padded.resize(body.size() + limits::kBlockPadding);
    Request request;
    request.method = method;
    request.target = target;
    request.url = url;
    request.headers = views;
    request.body = {padded.data(), body.size()};
    request.remote_ip = remote_ip;
    request.now_us = now_us;
    return call(request);
  }
};

inline Endpoint open_endpoint(std::string_view provider) {
  EndpointConfig config;
  config.provider = provider;
  config.allow_unsigned = true;
  auto made = Endpoint::make(std::move(config));
  if (!made) throw std::runtime_error(made.error().message());
  return std::move(*made);
}

inline const Context& context() {
  static const AddressHasher hasher;
  static const Context made = [] {
    Context c;
    c.hasher = &hasher;
    return c;
  }();
  return made;
}

/// Events of a batch that has no block.
class Told {
 public:
  Parsed parsed;
  Batch batch;
  [[nodiscard]] const Event& at(std::size_t i) const { return batch.events[i]; }
  [[nodiscard]] std::size_t size() const { return batch.events.size(); }
  [[nodiscard]] std::string text(Text text) const {
    return text.empty() ? std::string() : std::string(batch.view(text));
  }
  [[nodiscard]] std::string line(const Event& e) const {
    std::string out =
        fmt::format("{} {} {}", to_string(e.kind), text(e.recipient), format_time(e.time_us));
    const auto add = [&](const char* name, const std::string& value) {
      if (!value.empty()) out += fmt::format(" {}={}", name, value);
    };
    add("hint", std::string(to_string(e.hint)));
    add("code", e.smtp_code == 0 ? "" : std::to_string(e.smtp_code));
    if (e.enhanced.present()) {
      add("enhanced",
          fmt::format("{}.{}.{}", e.enhanced.klass, e.enhanced.subject, e.enhanced.detail));
    }
    add("phase", std::string(to_string(e.phase)));
    add("from", text(e.sender));
    add("mid", text(e.message_id));
    add("pid", text(e.queue_id));
    add("mta", text(e.mta_host));
    add("mta_ip", text(e.mta_ip));
    add("via", text(e.sending_ip));
    add("campaign", text(e.campaign));
    if (const Origin* origin = batch.origin(e.origin)) {
      add("tenant", text(origin->host));
      add("stream", text(origin->instance));
    }
    add("delay", e.delay_ms == 0 ? "" : std::to_string(e.delay_ms));
    return out + " | " + text(e.diagnostic);
  }
  [[nodiscard]] std::string all() const {
    static constexpr const char* kKinds[] = {"events", "ping", "confirmation", "malformed"};
    std::string out = kKinds[static_cast<std::size_t>(parsed.kind)];
    if (!parsed.detail.empty()) out += " " + parsed.detail;
    if (parsed.ignored != 0) out += fmt::format(" ignored={}", parsed.ignored);
    if (parsed.unparsed != 0) out += fmt::format(" unparsed={}", parsed.unparsed);
    out += '\n';
    for (const Event& e : batch.events) out += line(e) + '\n';
    return out;
  }
};

inline void run(const Endpoint& endpoint, const Post& post, Told& told) {
  post.with([&](const Request& request) {
    told.parsed = endpoint.parse(context(), request, told.batch);
  });
}

inline void run(std::string_view provider, std::string body, Told& told) {
  Post post;
  post.body = std::move(body);
  run(open_endpoint(provider), post, told);
}

}  // namespace bounced::parse::providers::testing
