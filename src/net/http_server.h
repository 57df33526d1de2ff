// HttpServer: HTTP/1.1 with or without TLS, for webhooks, the API and whatever else is asked over
// HTTP. Knows no meaning of anything: routes do.
//
// Threads: one per Options::threads, each with connections of its own. A route's handler runs on
// one of them and must not block; the answer may come later, from any thread.
// Limits: a connection has one request at a time, bounded in header, body and time; so memory is
// bounded by connections_max.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bounced/result.h"
#include "net/networks.h"

namespace bounced::net {

struct HttpHeader {
  std::string_view name;  ///< lower case
  std::string_view value;
};

/// Views live until the handler returns.
struct HttpRequest {
  std::string_view method;
  std::string_view target;  ///< path and query, as sent
  std::string_view path;    ///< of the target
  std::span<const HttpHeader> headers;
  /// gzip undone; limits::kBlockPadding readable bytes follow.
  std::string_view body;
  std::string_view remote_ip;  ///< behind trusted proxies
  bool tls = false;
  /// Of the first header of that (lower-case) name; empty when there is none.
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

struct HttpResponse {
  unsigned status = 200;
  std::string body;
  std::string_view content_type = "text/plain; charset=utf-8";  ///< of static lifetime
  std::vector<std::pair<std::string, std::string>> headers;
};

class HttpConnection;

/// The right to answer one request, once, from any thread. Not answered: 500.
class Responder {
 public:
  explicit Responder(std::shared_ptr<HttpConnection> connection);
  Responder(Responder&&) noexcept;
  Responder& operator=(Responder&&) noexcept;
  ~Responder();
  void answer(HttpResponse response);

 private:
  std::shared_ptr<HttpConnection> connection_;
};

struct HttpRoute {
  std::string path;   ///< "/metrics"; ends with '*': all that begin so
  std::string label;  ///< for logs, where the path is a secret; empty = the path
  std::function<void(const HttpRequest&, Responder)> handler;
};

struct HttpOptions {
  std::vector<std::string> listen = {"127.0.0.1:8025"};  ///< "host:port", "[::1]:port"; port 0: any
  std::string certificate, key;                          ///< PEM files; TLS when given
  unsigned threads = 1;
  std::size_t connections_max = 16'384;
  std::size_t header_bytes_max = std::size_t{16} << 10;
  std::size_t body_bytes_max = std::size_t{8} << 20;  ///< also of what gzip unpacks to
  std::int64_t header_timeout_us = 10'000'000;        ///< from the first byte; and for TLS
  std::int64_t body_timeout_us = 60'000'000;          ///< for the whole body; for the answer, too
  std::int64_t idle_timeout_us = 75'000'000;          ///< between requests
  Networks trusted_proxies;
  std::string access_log;  ///< file; empty = none
};

struct HttpFigures {
  std::uint64_t connections = 0, connections_open = 0, connections_refused = 0;
  std::uint64_t requests = 0, timeouts = 0, malformed = 0, tls_failures = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t answers[6] = {};  ///< by first digit of the status
};

class HttpServer {
 public:
  /// Listens when it returns. Errors: usage (an address, a certificate), io.
  static Result<std::unique_ptr<HttpServer>> start(HttpOptions options,
                                                   std::vector<HttpRoute> routes);
  ~HttpServer();  ///< stops at once
  /// "127.0.0.1:8025" as bound.
  [[nodiscard]] const std::vector<std::string>& addresses() const;
  /// Reads certificate and key again; connections that are open keep theirs. On an error those in
  /// use stay. A changed file is noticed without it, within seconds.
  Result<void> reload();
  /// No new connections; those open end with their answer, at the latest after `wait_us`.
  void stop(std::int64_t wait_us);
  [[nodiscard]] HttpFigures figures() const;

  struct Impl;

 private:
  HttpServer();
  std::unique_ptr<Impl> impl_;
};

/// gzip or zlib data unpacked to at most `bytes_max`; kBlockPadding bytes follow its end in `out`.
/// Errors: data (damaged, cut), busy (more than bytes_max).
Result<void> gunzip(std::string_view packed, std::size_t bytes_max, std::string& out);

}  // namespace bounced::net
