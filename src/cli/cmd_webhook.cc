// bounced webhook: endpoints, requests that were refused, signing and verifying by hand.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/time.h"
#include "bounced/limits.h"
#include "cli/app.h"
#include "cli/http_service.h"
#include "net/http_client.h"
#include "parse/providers/texts.h"

namespace bounced::cli {
namespace {

namespace providers = parse::providers;

constexpr std::size_t kFileBytesMax = std::size_t{64} << 20;

struct Args {
  std::string endpoint, provider, url, key, file, content_type, ca_file, method = "POST";
  bool insecure = false, json = false;
};

/// A file, or standard input for "-".
Result<std::string> read_all(const App& app, const std::string& name) {
  const std::string path = name == "-" ? "/dev/stdin" : app.path(name);
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ErrorCode::io, "read", name, "cannot be opened");
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.bad()) return fail(ErrorCode::io, "read", name, "cannot be read");
  if (text.size() > kFileBytesMax) return fail(ErrorCode::usage, "read", name, "is too large");
  return text;
}

std::string base_of(const App& app, const Config& config) {
  return std::filesystem::path(app.path(config.file)).parent_path().string();
}

Result<serve::WebhookSettings> find_endpoint(const App& app, const Config& config,
                                             const std::string& name) {
  std::vector<std::string_view> names;
  for (const WebhookConfig& webhook : config.webhooks) {
    if (webhook.name == name || webhook.path == name) {
      return webhook_settings(webhook, base_of(app, config));
    }
    names.emplace_back(webhook.name);
  }
  const std::string_view near = nearest(name, names);
  return fail(
      ErrorCode::not_found, "webhook", name, "no [[webhook]] has this name",
      near.empty() ? "see `bounced webhook list`" : "did you mean \"" + std::string(near) + "\"?");
}

std::string time_or_never(std::int64_t time_us) {
  return time_us == 0 ? "never" : format_time(time_us);
}

// --- list, rejected, providers ------------------------------------------------------------------

/// "https://HOST/hooks/x", as far as it is known here; the token is not told.
std::string shown_url(const Config& config, const WebhookConfig& webhook) {
  const std::string path = webhook.path + (webhook.token.empty() ? "" : "/<token>");
  if (!webhook.url.empty()) return webhook.url;
  return (config.http.certificate.empty() ? "http://" : "https://") +
         (config.http.listen.empty() ? "" : config.http.listen.front()) + path;
}

/// Lines of a text under each other; the first stands where it is put.
std::string hanging(std::string_view text, std::size_t width) {
  std::string out;
  for (const char c : trim(text)) {
    out.push_back(c);
    if (c == '\n') out.append(width, ' ');
  }
  return out;
}

void list_text(App& app, const Config& config, const WebhookConfig& webhook,
               const serve::WebhookFigures* live) {
  const providers::Provider* provider = providers::find(webhook.provider);
  app.io.out(fmt::format("{}  ({})\n  URL          {}\n", printable(webhook.name),
                         provider != nullptr ? provider->title : webhook.provider,
                         printable(shown_url(config, webhook))));
  if (provider != nullptr)
    app.io.out(fmt::format("  to set up    {}\n", hanging(provider->setup, 15)));
  if (live == nullptr) return;
  app.io.out(fmt::format(
      "  events       {} in {} requests; last {}\n  refused      {} unverified, {} malformed, {} "
      "told to come again, {} not stored; last {}\n",
      with_commas(live->events), with_commas(live->requests), time_or_never(live->last_us),
      with_commas(live->unverified), with_commas(live->malformed), with_commas(live->overloaded),
      with_commas(live->failed), time_or_never(live->last_rejected_us)));
  if (!live->confirmation.empty()) {
    app.io.out(fmt::format("  to confirm   {}\n", printable(live->confirmation)));
  }
}

void list_json(App& app, const Config& config, const WebhookConfig& webhook,
               const serve::WebhookFigures* live) {
  std::string json = "{\"name\":";
  append_json(json, webhook.name);
  json += ",\"provider\":";
  append_json(json, webhook.provider);
  json += ",\"url\":";
  append_json(json, shown_url(config, webhook));
  if (live != nullptr) {
    json += fmt::format(
        ",\"requests\":{},\"accepted\":{},\"events\":{},\"ignored\":{},\"unparsed\":{},"
        "\"unverified\":{},\"malformed\":{},\"overloaded\":{},\"failed\":{}",
        live->requests, live->accepted, live->events, live->ignored, live->unparsed,
        live->unverified, live->malformed, live->overloaded, live->failed);
    if (live->last_us != 0) json += ",\"last\":\"" + format_time(live->last_us) + "\"";
    if (!live->confirmation.empty()) {
      json += ",\"confirm\":";
      append_json(json, live->confirmation);
    }
  }
  app.io.out(json + "}\n");
}

int list(App& app, bool json) {
  auto config = app.config();
  if (!config) return app.io.report(config.error());
  if (config->webhooks.empty()) {
    return app.io.report({ErrorCode::not_found, "webhook list", config->file, "no [[webhook]] here",
                          "`bounced config default` shows how to write one"});
  }
  std::vector<serve::WebhookFigures> live;
  if (app.live_http != nullptr) live = app.live_http->webhooks().figures();
  for (const WebhookConfig& webhook : config->webhooks) {
    const auto it = std::find_if(live.begin(), live.end(),
                                 [&](const auto& f) { return f.name == webhook.name; });
    (json ? list_json : list_text)(app, *config, webhook, it == live.end() ? nullptr : &*it);
  }
  return 0;
}

int rejected(App& app) {
  if (app.live_http == nullptr) {
    return app.io.report({ErrorCode::not_found, "webhook rejected", app.data(),
                          "no daemon with [http] answers here", "refused requests are in its RAM"});
  }
  const auto all = app.live_http->webhooks().rejected();
  for (const serve::Rejected& one : all) {
    app.io.out(fmt::format("{}  {}  {}  {}  {}\n{}\n\n", format_time(one.time_us), one.endpoint,
                           one.remote_ip, one.status, printable(one.reason), one.request));
  }
  return all.empty() ? 1 : 0;
}

int list_providers(App& app) {
  for (const providers::Provider& provider : providers::table()) {
    app.io.out(fmt::format("{:<14}{}\n", provider.name, provider.title));
    app.io.out(fmt::format("{:<14}{}\n", "", hanging(provider.setup, 14)));
  }
  return 0;
}

// --- verify -------------------------------------------------------------------------------------

/// A saved request: request line, headers, an empty line, the body. Owns what the views show.
struct Saved {
  std::string text;
  std::vector<std::string> names;
  std::vector<providers::Header> headers;
  std::string_view method, target;
  std::string body;
};

Result<void> read_saved(std::string text, Saved& out) {
  out.text = std::move(text);
  std::string_view rest = out.text;
  const auto take_line = [&rest] {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return line;
  };
  const std::string_view first = take_line();
  const std::size_t blank = first.find(' ');
  if (blank == std::string_view::npos) {
    return fail(ErrorCode::data, "webhook verify", "line 1", "is no request line",
                "e.g. POST /hooks/sendgrid HTTP/1.1");
  }
  out.method = first.substr(0, blank);
  out.target = first.substr(blank + 1);
  out.target = out.target.substr(0, out.target.find(' '));
  std::vector<std::string_view> lines;
  for (std::string_view line = take_line(); !line.empty(); line = take_line()) {
    lines.push_back(line);
  }
  out.names.reserve(lines.size());
  for (const std::string_view line : lines) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    out.names.push_back(ascii_lower(line.substr(0, colon)));
    out.headers.push_back({out.names.back(), trim(line.substr(colon + 1))});
  }
  out.body = std::string(rest);
  out.body.resize(rest.size() + limits::kBlockPadding, '\0');
  out.body.resize(rest.size());
  return {};
}

int verify(App& app, const Args& args) {
  auto config = app.config();
  if (!config) return app.io.report(config.error());
  auto settings = find_endpoint(app, *config, args.endpoint);
  if (!settings) return app.io.report(settings.error());
  auto endpoint = providers::Endpoint::make(settings->endpoint);
  if (!endpoint) return app.io.report(endpoint.error());
  auto text = read_all(app, args.file);
  if (!text) return app.io.report(text.error());
  Saved saved;
  if (auto done = read_saved(std::move(*text), saved); !done) return app.io.report(done.error());
  providers::Request request;
  request.method = saved.method;
  request.target = saved.target;
  request.url = settings->url;
  request.headers = saved.headers;
  request.body = saved.body;
  request.now_us = system_clock().now_us();
  std::string why;
  const providers::Check check = endpoint->verify(request, why);
  if (check != providers::Check::ok) {
    app.io.out(fmt::format("{}: {}\n", providers::to_string(check), printable(why)));
    return 1;
  }
  const AddressHasher hasher;
  parse::Context context;
  context.hasher = &hasher;
  Batch batch;
  const providers::Parsed parsed = endpoint->parse(context, request, batch);
  app.io.out(fmt::format("ok: {} event(s), {} of no interest, {} unreadable{}\n",
                         batch.events.size(), parsed.ignored, parsed.unparsed,
                         parsed.detail.empty() ? "" : "; " + printable(parsed.detail)));
  for (const Event& event : batch.events) {
    const auto shown = [&](Text t) { return t.empty() ? "" : printable(batch.view(t)); };
    app.io.out(fmt::format("{}  {:<12}  {}  {}\n", format_time(event.time_us),
                           to_string(event.kind), shown(event.recipient), shown(event.diagnostic)));
  }
  return parsed.kind == providers::Parsed::Kind::malformed ? 1 : 0;
}

// --- send ---------------------------------------------------------------------------------------

void add_credentials(const providers::EndpointConfig& endpoint, net::HttpCall& call) {
  if (!endpoint.basic_auth.empty()) {
    call.headers.emplace_back("Authorization",
                              "Basic " + parse::providers::to_base64(endpoint.basic_auth));
  } else if (!endpoint.bearer.empty()) {
    call.headers.emplace_back("Authorization", "Bearer " + endpoint.bearer);
  }
  if (!endpoint.auth_header.empty()) {
    call.headers.emplace_back(endpoint.auth_header, endpoint.auth_value);
  }
}

std::string content_type_of(const Args& args, std::string_view body) {
  if (!args.content_type.empty()) return args.content_type;
  const auto first = body.find_first_not_of(" \t\r\n");
  const bool json = first != std::string_view::npos && (body[first] == '{' || body[first] == '[');
  return json ? "application/json" : "application/x-www-form-urlencoded";
}

/// What is posted: the file, or the provider's sample.
struct Post {
  std::string body, query, content_type, method;
};

Result<Post> read_post(const App& app, const Args& args, const std::string& provider) {
  Post post;
  post.method = args.method;
  if (!args.file.empty()) {
    auto body = read_all(app, args.file);
    if (!body) return tl::unexpected(body.error());
    post.body = std::move(*body);
    post.content_type = content_type_of(args, post.body);
    return post;
  }
  const Secret random = random_secret();
  const std::string id =
      "sample-" + providers::to_hex({reinterpret_cast<const char*>(random.data()), 12});
  providers::Sample sample = providers::sample(provider, id, system_clock().now_us());
  post.body = std::move(sample.body);
  post.query = std::move(sample.query);
  post.content_type = args.content_type.empty() ? sample.content_type : args.content_type;
  if (args.method == Args().method) post.method = sample.method;
  return post;
}

std::string url_of(const Config& config, const Args& args, const serve::WebhookSettings& settings,
                   const Post& post) {
  std::string url = args.url.empty() ? settings.url : args.url;
  if (url.empty()) {
    url = (config.http.certificate.empty() ? "http://" : "https://") + config.http.listen.front() +
          settings.path + (settings.token.empty() ? "" : "/" + settings.token);
  }
  if (!post.query.empty()) url += (url.find('?') == std::string::npos ? '?' : '&') + post.query;
  return url;
}

/// Adds what proves who it is from, as far as a secret is at hand. The call shows `body`.
Result<void> sign_call(const App& app, const Args& args, const serve::WebhookSettings& settings,
                       std::string& body, net::HttpCall& call) {
  std::string secret;
  if (!args.key.empty()) {
    auto key = read_all(app, args.key);
    if (!key) return tl::unexpected(key.error());
    secret = std::string(trim(*key));
  } else if (!settings.endpoint.secrets.empty()) {
    secret = settings.endpoint.secrets.front();
  }
  add_credentials(settings.endpoint, call);
  call.body = body;
  if (secret.empty()) return {};
  std::vector<providers::Header> headers;
  for (const auto& [name, value] : call.headers) {
    if (name == "Content-Type") headers.push_back({"content-type", value});
  }
  if (!settings.endpoint.topics.empty()) {
    headers.push_back({"x-amz-sns-topic-arn", settings.endpoint.topics.front()});
  }
  providers::Request request;
  request.method = call.method;
  request.url = settings.url.empty() ? std::string_view(call.url) : settings.url;
  request.headers = headers;
  body.resize(body.size() + limits::kBlockPadding, '\0');
  request.body = std::string_view(body).substr(0, body.size() - limits::kBlockPadding);
  request.now_us = system_clock().now_us();
  auto made = providers::sign(settings.endpoint.provider, secret, request);
  if (!made) return tl::unexpected(made.error());
  for (auto& header : made->headers) call.headers.push_back(std::move(header));
  body.resize(request.body.size());
  if (!made->body.empty()) body = std::move(made->body);
  call.body = body;
  return {};
}

int send(App& app, const Args& args) {
  auto config = app.config();
  if (!config) return app.io.report(config.error());
  auto settings = find_endpoint(app, *config, args.endpoint);
  if (!settings) return app.io.report(settings.error());
  auto post = read_post(app, args, settings->endpoint.provider);
  if (!post) return app.io.report(post.error());
  net::HttpCall call;
  call.url = url_of(*config, args, *settings, *post);
  call.method = post->method;
  if (!post->content_type.empty()) call.headers.emplace_back("Content-Type", post->content_type);
  call.ca_file = args.ca_file.empty() ? "" : app.path(args.ca_file);
  call.check_server = !args.insecure;
  if (auto done = sign_call(app, args, *settings, post->body, call); !done) {
    return app.io.report(done.error());
  }
  const std::int64_t begun_us = monotonic_us();
  auto reply = net::call(call);
  if (!reply) return app.io.report(reply.error());
  app.io.out(fmt::format("{} in {:.1f} ms  {}\n", reply->status,
                         static_cast<double>(monotonic_us() - begun_us) / 1000,
                         printable(trim(reply->body))));
  return reply->status / 100 == 2 ? 0 : 1;
}

void add_send(CLI::App& parent, App& app) {
  CLI::App* command = parent.add_subcommand(
      "send", "sign a file, or a sample of its own, and post it to an endpoint");
  auto args = std::make_shared<Args>();
  command->add_option("ENDPOINT", args->endpoint, "name or path of a [[webhook]]")->required();
  command->add_option("FILE", args->file,
                      "the body; - = stdin; default: one delivery to webhook-sample@example.com");
  command->add_option("--url", args->url, "another address than the configuration tells");
  command->add_option("--key", args->key,
                      "file with what signs; a private key where the endpoint has a public one");
  command->add_option("--content-type", args->content_type, "default: by the body");
  command->add_option("--method", args->method, "default POST");
  command->add_option("--cacert", args->ca_file, "PEM file of an own certificate authority");
  command->add_flag("--insecure", args->insecure, "do not check the server's certificate");
  examples(*command,
           "  bounced webhook send --config bounced.toml mailgun\n"
           "  bounced webhook send --config bounced.toml sendgrid events.json --key private.pem\n"
           "  bounced webhook send --config bounced.toml mailgun event.json --insecure");
  command->callback([&app, args] { app.run = [&app, args] { return send(app, *args); }; });
}

void add_verify(CLI::App& parent, App& app) {
  CLI::App* command =
      parent.add_subcommand("verify", "whether a saved request would be accepted, or why not");
  auto args = std::make_shared<Args>();
  command->add_option("ENDPOINT", args->endpoint, "name or path of a [[webhook]]")->required();
  command->add_option("FILE", args->file, "request line, headers, empty line, body; - = stdin")
      ->required();
  examples(*command, "  bounced webhook verify --config bounced.toml sendgrid request.txt");
  command->callback([&app, args] { app.run = [&app, args] { return verify(app, *args); }; });
}

}  // namespace

void add_webhook(CLI::App& parser, App& app) {
  CLI::App* command = parser.add_subcommand("webhook", "endpoints for providers' events");
  command->require_subcommand(1);
  add_send(*command, app);
  add_verify(*command, app);
  CLI::App* lists = command->add_subcommand("list", "endpoints, what to enter there, counters");
  auto json = std::make_shared<bool>(false);
  lists->add_flag("--json", *json, "one JSON object a line");
  lists->callback([&app, json] {
    app.forwardable = true;
    app.run = [&app, json] { return list(app, *json); };
  });
  examples(*lists, "  bounced webhook list --config /etc/bounced/bounced.toml");
  CLI::App* refused =
      command->add_subcommand("rejected", "the last requests that the daemon refused, and why");
  refused->callback([&app] {
    app.forwardable = true;
    app.run = [&app] { return rejected(app); };
  });
  examples(*refused, "  bounced webhook rejected --data /var/lib/bounced");
  CLI::App* rows = command->add_subcommand("providers", "every provider, and what to enter there");
  rows->callback([&app] { app.run = [&app] { return list_providers(app); }; });
  examples(*command,
           "  bounced webhook list --config bounced.toml\n"
           "  bounced webhook send --config bounced.toml sendgrid events.json --key private.pem\n"
           "  bounced webhook verify --config bounced.toml sendgrid request.txt\n"
           "  bounced webhook rejected --data /var/lib/bounced");
}

}  // namespace bounced::cli
