#include "cli/http_service.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <iterator>

#include "base/log.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/mail_watch.h"
#include "serve/figures.h"

namespace bounced::cli {
namespace {

constexpr std::int64_t kDrainUs = 5'000'000;

using Figures = std::vector<serve::Figure>;

void add_engine(Figures& out, const pipeline::Metrics& m) {
  for (std::size_t kind = 1; kind < kEventKinds; ++kind) {
    out.push_back({"bounced_events_total",
                   "Events applied.",
                   true,
                   static_cast<double>(m.events[kind]),
                   {{"kind", std::string(to_string(static_cast<EventKind>(kind)))}}});
  }
  const auto add = [&out](const char* name, const char* help, bool counter, std::uint64_t value) {
    out.push_back({name, help, counter, static_cast<double>(value), {}});
  };
  add("bounced_lines_total", "Records read from logs and from the inbox.", true, m.lines.lines);
  add("bounced_unparsed_total", "Records that looked like ours and could not be read.", true,
      m.lines.unparsed);
  add("bounced_addresses", "Addresses with a state.", false, m.states.addresses);
  add("bounced_blocked", "Addresses and domains that are blocked.", false, m.states.blocked);
  add("bounced_lag_bytes", "Bytes of live logs that are not applied yet.", false, m.lag_bytes);
  add("bounced_cuts_total", "Commits of applied state.", true, m.commit.sent);
  add("bounced_inbox_requests_total", "Pushed requests made durable.", true, m.push.requests);
  add("bounced_inbox_events_total", "Pushed events made durable.", true, m.push.events);
  add("bounced_inbox_duplicates_total", "Pushed events that were known.", true, m.push.duplicates);
  add("bounced_inbox_clamped_total", "Pushed events stamped far ahead, or not at all.", true,
      m.push.clamped);
  add("bounced_inbox_overloaded_total", "Pushed requests refused for the backlog.", true,
      m.push.overloaded);
  add("bounced_inbox_failed_total", "Pushed requests that the store did not take.", true,
      m.push.failed);
  add("bounced_inbox_backlog_bytes", "Accepted and not yet on the way to be applied.", false,
      m.push.backlog_bytes);
  add("bounced_inbox_writes_total", "Synced writes of the inbox.", true, m.push.groups);
  add("bounced_inbox_keys", "Events known, to recognise those told again.", false, m.push.keys);
}

/// A scraper keeps a series for every label that it has ever seen.
constexpr std::size_t kRulesMax = 2'000;

/// Only rules that have decided something.
void add_rules(Figures& out, const std::vector<pipeline::RuleHit>& hits) {
  const auto add = [&](const char* name, const char* help, bool counter, auto value) {
    for (const pipeline::RuleHit& hit : hits) {
      out.push_back({name, help, counter, value(hit), {{"rule", hit.rule}}});
    }
  };
  add("bounced_rule_hits_total", "Failing events that a rule decided, since the store was made.",
      true, [](const auto& hit) { return static_cast<double>(hit.count); });
  add("bounced_rule_last_hit_seconds", "Event time of the newest that a rule decided.", false,
      [](const auto& hit) { return static_cast<double>(hit.last_us) / 1e6; });
}

void add_http(Figures& out, const net::HttpFigures& f) {
  for (std::size_t i = 2; i < 6; ++i) {
    out.push_back({"bounced_http_answers_total",
                   "HTTP answers by class of status.",
                   true,
                   static_cast<double>(f.answers[i]),
                   {{"status", std::to_string(i) + "xx"}}});
  }
  const auto add = [&out](const char* name, const char* help, bool counter, std::uint64_t value) {
    out.push_back({name, help, counter, static_cast<double>(value), {}});
  };
  add("bounced_http_connections", "Open connections.", false, f.connections_open);
  add("bounced_http_connections_total", "Connections taken.", true, f.connections);
  add("bounced_http_connections_refused_total", "Connections over the limit.", true,
      f.connections_refused);
  add("bounced_http_timeouts_total", "Connections closed for slowness.", true, f.timeouts);
  add("bounced_http_malformed_total", "What was no request, or over a limit.", true, f.malformed);
  add("bounced_http_tls_failures_total", "TLS handshakes that failed.", true, f.tls_failures);
}

void add_webhooks(Figures& out, const std::vector<serve::WebhookFigures>& all) {
  using F = serve::WebhookFigures;
  struct Row {
    const char* name;
    const char* help;
    std::uint64_t F::*member;
  };
  constexpr Row kRows[] = {
      {"bounced_webhook_requests_total", "Requests to an endpoint.", &F::requests},
      {"bounced_webhook_accepted_total", "Requests accepted.", &F::accepted},
      {"bounced_webhook_events_total", "Events accepted, told again or not.", &F::events},
      {"bounced_webhook_ignored_total", "Events of no interest.", &F::ignored},
      {"bounced_webhook_unparsed_total", "Items that could not be read.", &F::unparsed},
      {"bounced_webhook_unverified_total", "Requests that did not verify.", &F::unverified},
      {"bounced_webhook_malformed_total", "Requests not of the provider's form.", &F::malformed},
      {"bounced_webhook_overloaded_total", "Requests told to come again.", &F::overloaded},
      {"bounced_webhook_failed_total", "Requests that the store did not take.", &F::failed},
  };
  for (const Row& row : kRows) {
    for (const F& f : all) {
      out.push_back({row.name,
                     row.help,
                     true,
                     static_cast<double>(f.*row.member),
                     {{"endpoint", f.name}, {"provider", f.provider}}});
    }
  }
  for (const F& f : all) {
    out.push_back({"bounced_webhook_last_event_seconds",
                   "When events were last accepted.",
                   false,
                   static_cast<double>(f.last_us) / 1e6,
                   {{"endpoint", f.name}, {"provider", f.provider}}});
  }
}

void add_mboxes(Figures& out, const std::vector<MailWatch::State>& all) {
  using Stats = ingest::MboxTail::Stats;
  struct Row {
    const char* name;
    const char* help;
    std::uint64_t Stats::*member;
  };
  constexpr Row kRows[] = {
      {"bounced_mbox_restarts_total", "Read from the start again: emptied, shrunk or rewritten.",
       &Stats::restarts},
      {"bounced_mbox_replaced_total", "Renamed files, read to their end.", &Stats::replaced},
      {"bounced_mbox_oversize_total", "Mails that were cut at their bound.", &Stats::oversize},
      {"bounced_mbox_torn_total", "Mails without their end, and rests that begin no mail.",
       &Stats::torn},
      {"bounced_mbox_old_total", "Mails left out, too old to be known.", &Stats::old},
      {"bounced_mbox_locked_total", "Looks that found somebody writing.", &Stats::locked},
  };
  const auto add = [&](const char* name, const char* help, bool counter, auto value) {
    for (const MailWatch::State& box : all) {
      if (box.what != "mbox") continue;
      out.push_back({name, help, counter, static_cast<double>(value(box)), {{"name", box.name}}});
    }
  };
  add("bounced_mbox_offset_bytes", "Where the next mail begins.", false,
      [](const auto& box) { return box.offset; });
  add("bounced_mbox_lag_bytes", "Bytes behind it of the file that is being read.", false,
      [](const auto& box) { return box.size > box.offset ? box.size - box.offset : 0; });
  for (const Row& row : kRows) {
    add(row.name, row.help, true, [&row](const auto& box) { return box.mbox.*row.member; });
  }
}

void add_mailboxes(Figures& out, const std::vector<MailWatch::State>& all) {
  const auto add = [&](const char* name, const char* help, bool counter, auto value) {
    for (const MailWatch::State& box : all) {
      out.push_back({name,
                     help,
                     counter,
                     static_cast<double>(value(box)),
                     {{"kind", box.what}, {"name", box.name}}});
    }
  };
  add("bounced_mailbox_mails_total", "Mails taken.", true,
      [](const auto& box) { return box.mails; });
  add("bounced_mailbox_events_total", "Events that these told.", true,
      [](const auto& box) { return box.events; });
  add("bounced_mailbox_trouble", "1 = it cannot be read, or mails cannot be moved.", false,
      [](const auto& box) { return box.trouble.empty() ? 0 : 1; });
  add_mboxes(out, all);
}

}  // namespace

Result<serve::WebhookSettings> webhook_settings(const WebhookConfig& config,
                                                const std::string& base) {
  serve::WebhookSettings s;
  s.endpoint.provider = config.provider;
  s.name = config.name;
  s.path = config.path;
  s.url = config.url;
  s.tenant = config.tenant;
  s.stream = config.stream;
  s.overloaded = config.overloaded_status;
  s.endpoint.topics = config.topics;
  s.endpoint.auth_header = config.auth_header;
  s.endpoint.networks = config.networks;
  s.endpoint.allow_unsigned = config.allow_unsigned;
  s.endpoint.replay_window_us = config.replay_window_us;
  const auto read = [&](const std::string& text, std::string& out) -> Result<void> {
    if (text.empty()) return {};
    auto secret = read_secret(text, base, "webhook", config.path);
    if (!secret) return tl::unexpected(secret.error());
    out = std::move(*secret);
    return {};
  };
  const std::pair<const std::string*, std::string*> kSingle[] = {
      {&config.token, &s.token},
      {&config.basic_auth, &s.endpoint.basic_auth},
      {&config.bearer, &s.endpoint.bearer},
      {&config.auth_value, &s.endpoint.auth_value}};
  for (const auto& [from, to] : kSingle) {
    if (auto done = read(*from, *to); !done) return tl::unexpected(done.error());
  }
  const std::pair<const std::vector<std::string>*, std::vector<std::string>*> kLists[] = {
      {&config.secrets, &s.endpoint.secrets}, {&config.certificates, &s.endpoint.certificates}};
  for (const auto& [from, to] : kLists) {
    for (const std::string& text : *from) {
      if (auto done = read(text, to->emplace_back()); !done) return tl::unexpected(done.error());
    }
  }
  return s;
}

struct HttpService::Impl {
  pipeline::Engine* engine = nullptr;
  const MailWatch* mails = nullptr;
  std::unique_ptr<serve::Webhooks> webhooks;
  std::unique_ptr<net::HttpServer> server;
  std::atomic<const net::HttpServer*> serving{
      nullptr};  ///< for handlers, which run before start() ends
  std::atomic<bool> draining{false};

  [[nodiscard]] std::vector<net::HttpRoute> routes();
  [[nodiscard]] net::HttpResponse ready() const;
  [[nodiscard]] net::HttpResponse metrics() const;
};

net::HttpResponse HttpService::Impl::ready() const {
  net::HttpResponse response;
  const bool well = !draining && !engine->fatal().has_value();
  response.status = well ? 200 : 503;
  response.body = well ? "ready\n" : draining ? "stopping\n" : "the store cannot be written\n";
  return response;
}

net::HttpResponse HttpService::Impl::metrics() const {
  Figures figures;
  add_engine(figures, engine->metrics());
  add_rules(figures, engine->rule_hits_at_cut(kRulesMax));
  if (const auto* s = serving.load(); s != nullptr) add_http(figures, s->figures());
  add_webhooks(figures, webhooks->figures());
  if (mails != nullptr) add_mailboxes(figures, mails->states());
  net::HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = serve::prometheus_text(figures);
  return response;
}

std::vector<net::HttpRoute> HttpService::Impl::routes() {
  std::vector<net::HttpRoute> routes = webhooks->routes();
  const auto page = [&routes](const char* path, std::function<net::HttpResponse()> make) {
    routes.push_back(
        {path, "", [make = std::move(make)](const net::HttpRequest& request, net::Responder to) {
           if (request.method == "GET" || request.method == "HEAD") return to.answer(make());
           net::HttpResponse response;
           response.status = 405;
           response.headers.emplace_back("Allow", "GET, HEAD");
           to.answer(std::move(response));
         }});
  };
  page("/healthz", [] {
    net::HttpResponse response;
    response.body = "ok\n";
    return response;
  });
  page("/readyz", [this] { return ready(); });
  page("/metrics", [this] { return metrics(); });
  return routes;
}

HttpService::HttpService() : impl_(std::make_unique<Impl>()) {}

Result<std::unique_ptr<HttpService>> HttpService::start(pipeline::Engine& engine,
                                                        const Config& config,
                                                        const std::string& base,
                                                        const MailWatch* mails) {
  std::unique_ptr<HttpService> service(new HttpService());
  Impl& impl = *service->impl_;
  impl.engine = &engine;
  impl.mails = mails;
  std::vector<serve::WebhookSettings> settings;
  for (const WebhookConfig& webhook : config.webhooks) {
    auto one = webhook_settings(webhook, base);
    if (!one) return tl::unexpected(one.error());
    settings.push_back(std::move(*one));
  }
  serve::Webhooks::Sink sink;
  sink.add = [&engine](const serve::WebhookSettings& s, std::int64_t horizon_us) {
    return engine.add_push({s.name, s.endpoint.provider, s.tenant, s.stream, horizon_us});
  };
  sink.accept = [&engine](std::uint32_t source, const Batch& batch,
                          serve::Webhooks::Sink::Done done) {
    engine.accept(source, batch, std::move(done));
  };
  parse::Context context;
  context.hasher = &engine.hasher();
  context.campaign_header = config.campaign_header;
  auto webhooks = serve::Webhooks::make(std::move(settings), std::move(context), std::move(sink));
  if (!webhooks) return tl::unexpected(webhooks.error());
  impl.webhooks = std::move(*webhooks);
  net::HttpOptions options = config.http;
  const auto absolute = [&base](std::string& path) {
    if (!path.empty()) path = (std::filesystem::path(base) / path).string();
  };
  absolute(options.certificate);
  absolute(options.key);
  absolute(options.access_log);
  auto server = net::HttpServer::start(std::move(options), impl.routes());
  if (!server) return tl::unexpected(server.error());
  impl.server = std::move(*server);
  impl.serving = impl.server.get();
  return service;
}

HttpService::~HttpService() {
  if (impl_->server == nullptr) return;
  impl_->draining = true;
  impl_->webhooks->drain();
  impl_->server->stop(kDrainUs);
}

const std::vector<std::string>& HttpService::addresses() const {
  return impl_->server->addresses();
}

const serve::Webhooks& HttpService::webhooks() const {
  return *impl_->webhooks;
}

void HttpService::reload() {
  if (auto done = impl_->server->reload(); !done) spdlog::warn("{}", done.error().message());
}

}  // namespace bounced::cli
