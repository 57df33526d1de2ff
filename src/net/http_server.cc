#include "net/http_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <ctime>
#include <future>

#include "base/clock.h"
#include "base/log.h"
#include "base/threads.h"
#include "net/http_connection.h"

namespace bounced::net {
namespace {

constexpr auto kSweep = std::chrono::milliseconds(250);
constexpr std::int64_t kReloadCheckUs = 2'000'000;
constexpr int kBacklog = 4096;

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm tm{};
  ::gmtime_r(&now, &tm);
  char text[40];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm)};
}

/// Every connection is a descriptor: as many as the system lets us have.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<tcp::endpoint> endpoint_of(const std::string& text) {
  const auto bad = [&](std::string why) {
    return fail(ErrorCode::usage, "listen", text, std::move(why),
                "give e.g. 127.0.0.1:8025 or [::1]:8025");
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return bad("has no port");
  std::string host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (host == "*") host = "0.0.0.0";
  boost::system::error_code ec;
  const auto address = asio::ip::make_address(host, ec);
  if (ec) return bad("is no IP address");
  const std::string digits = text.substr(colon + 1);
  if (digits.empty() || digits.size() > 5 ||
      digits.find_first_not_of("0123456789") != std::string::npos || std::stoi(digits) > 65535) {
    return bad("has no port");
  }
  return tcp::endpoint(address, static_cast<std::uint16_t>(std::stoi(digits)));
}

std::int64_t modified_us(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return 0;
  return status.st_mtim.tv_sec * 1'000'000 + status.st_mtim.tv_nsec / 1000;
}

Result<std::shared_ptr<asio::ssl::context>> load_context(const std::string& certificate,
                                                         const std::string& key) {
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  boost::system::error_code ec;
  const auto failed = [&](const std::string& path) {
    return fail(ErrorCode::usage, "tls", path, ec.message(),
                "PEM files; the key's must be its own");
  };
  context->set_options(asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1 |
                           asio::ssl::context::no_compression,
                       ec);
  context->use_certificate_chain_file(certificate, ec);
  if (ec) return failed(certificate);
  context->use_private_key_file(key, asio::ssl::context::pem, ec);
  if (ec) return failed(key);
  if (::SSL_CTX_check_private_key(context->native_handle()) != 1) {
    return fail(ErrorCode::usage, "tls", key, "does not belong to the certificate");
  }
  return context;
}

}  // namespace

// --- shared -------------------------------------------------------------------------------------

std::string_view HttpRequest::header(std::string_view name) const {
  for (const HttpHeader& h : headers) {
    if (h.name == name) return h.value;
  }
  return {};
}

const HttpRoute* HttpShared::route(std::string_view path) const {
  if (const auto it = exact.find(path); it != exact.end()) return it->second;
  for (const HttpRoute* route : prefixes) {
    const std::string_view all = route->path;
    if (path.substr(0, all.size() - 1) == all.substr(0, all.size() - 1)) return route;
  }
  return nullptr;
}

Responder::Responder(std::shared_ptr<HttpConnection> connection)
    : connection_(std::move(connection)) {}
Responder::Responder(Responder&&) noexcept = default;
Responder& Responder::operator=(Responder&&) noexcept = default;
Responder::~Responder() {
  if (connection_ == nullptr) return;
  HttpResponse response;
  response.status = 500;
  answer(std::move(response));
}

void Responder::answer(HttpResponse response) {
  if (connection_ == nullptr) return;
  const std::shared_ptr<HttpLoop> loop = connection_->loop();
  if (loop->id.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
    std::exchange(connection_, nullptr)->respond(response);
    return;
  }
  loop->deliver(std::move(connection_), std::move(response));
}

// --- a thread's loop ----------------------------------------------------------------------------

void HttpLoop::run(std::shared_ptr<HttpLoop> self) {
  name_thread("http");
  id = std::this_thread::get_id();
  sweep();
  io.run();
  write_log();
  {
    const std::lock_guard lock(mutex);
    closed = true;
    answers.clear();
  }
  id = std::thread::id();
  self.reset();
}

void HttpLoop::deliver(std::shared_ptr<HttpConnection> connection, HttpResponse response) {
  bool first = false;
  {
    const std::lock_guard lock(mutex);
    if (closed) return;
    first = answers.empty();
    answers.push_back({std::move(connection), std::move(response)});
  }
  // One wake-up for all that come until the thread looks.
  if (first) asio::post(io, [this] { take_answers(); });
}

void HttpLoop::take_answers() {
  std::vector<Answer> taken;
  {
    const std::lock_guard lock(mutex);
    taken.swap(answers);
  }
  now_us = monotonic_us();
  for (Answer& answer : taken) answer.connection->respond(answer.response);
}

void HttpLoop::sweep() {
  common = "\r\nServer: bounced\r\nDate: " + http_date() + "\r\n";
  const bool draining = shared->draining.load(std::memory_order_relaxed);
  now_us = monotonic_us();
  for (HttpConnection* connection : connections) connection->check(now_us, draining);
  write_log();
  if (ended || (draining && connections.empty())) return;
  timer.expires_after(draining ? kSweep / 10 : kSweep);
  timer.async_wait([this](const boost::system::error_code& ec) {
    if (!ec) sweep();
  });
}

void HttpLoop::write_log() {
  const int file = shared->access_log.load(std::memory_order_relaxed);
  if (log.empty()) return;
  if (file >= 0 && ::write(file, log.data(), log.size()) < 0) {
    spdlog::warn("access log: {}", std::strerror(errno));
  }
  log.clear();
}

// --- the server ---------------------------------------------------------------------------------

struct HttpServer::Impl {
  std::shared_ptr<HttpShared> shared = std::make_shared<HttpShared>();
  std::vector<std::shared_ptr<HttpLoop>> loops;
  std::vector<tcp::acceptor> acceptors;  // of the first loop
  std::vector<std::string> addresses;
  std::size_t next = 0;
  std::mutex mutex;
  std::shared_ptr<asio::ssl::context> context;  // guarded by mutex
  std::int64_t certificate_us = 0, key_us = 0;  // guarded by mutex
  std::optional<asio::steady_timer> timer;      // of the first loop
  bool stopped = false;

  Result<void> listen(const std::string& text);
  void accept(tcp::acceptor& acceptor);
  void take(tcp::socket socket, const std::shared_ptr<HttpLoop>& loop);
  Result<void> load();
  void watch_certificate();
  Result<void> open_log();
};

Result<void> HttpServer::Impl::listen(const std::string& text) {
  auto endpoint = endpoint_of(text);
  if (!endpoint) return tl::unexpected(endpoint.error());
  boost::system::error_code ec;
  tcp::acceptor acceptor(loops.front()->io);
  const auto check = [&] {
    return ec ? Result<void>(fail(ErrorCode::io, "listen", text, ec.message(),
                                  "another program may use the port"))
              : Result<void>();
  };
  acceptor.open(endpoint->protocol(), ec);
  if (auto good = check(); !good) return good;
  acceptor.set_option(asio::socket_base::reuse_address(true), ec);
  acceptor.bind(*endpoint, ec);
  if (auto good = check(); !good) return good;
  acceptor.listen(kBacklog, ec);
  if (auto good = check(); !good) return good;
  const auto bound = acceptor.local_endpoint();
  const std::string host = bound.address().to_string();
  addresses.push_back((bound.address().is_v6() ? "[" + host + "]" : host) + ":" +
                      std::to_string(bound.port()));
  acceptors.push_back(std::move(acceptor));
  return {};
}

void HttpServer::Impl::accept(tcp::acceptor& acceptor) {
  const std::shared_ptr<HttpLoop> loop = loops[next++ % loops.size()];
  acceptor.async_accept(
      loop->io, [this, &acceptor, loop](const boost::system::error_code& ec, tcp::socket socket) {
        if (ec == asio::error::operation_aborted || !acceptor.is_open()) return;
        if (!ec) {
          take(std::move(socket), loop);
          return accept(acceptor);
        }
        // No descriptor to be had: those that are open end some day.
        spdlog::warn("http: accept: {}", ec.message());
        auto pause = std::make_shared<asio::steady_timer>(acceptor.get_executor(), kSweep);
        pause->async_wait([this, &acceptor, pause](const boost::system::error_code& error) {
          if (!error && acceptor.is_open()) accept(acceptor);
        });
      });
}

void HttpServer::Impl::take(tcp::socket socket, const std::shared_ptr<HttpLoop>& loop) {
  shared->count.connections.fetch_add(1, std::memory_order_relaxed);
  if (shared->open.fetch_add(1, std::memory_order_relaxed) >= shared->options.connections_max) {
    shared->open.fetch_sub(1, std::memory_order_relaxed);
    shared->count.refused.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  std::shared_ptr<asio::ssl::context> tls;
  {
    const std::lock_guard lock(mutex);
    tls = context;
  }
  asio::dispatch(loop->io, [loop, tls, s = std::move(socket)]() mutable {
    loop->now_us = monotonic_us();
    std::make_shared<HttpConnection>(loop, std::move(s), std::move(tls))->start();
  });
}

Result<void> HttpServer::Impl::load() {
  const HttpOptions& o = shared->options;
  const std::int64_t certificate = modified_us(o.certificate), key = modified_us(o.key);
  auto loaded = load_context(o.certificate, o.key);
  const std::lock_guard lock(mutex);
  certificate_us = certificate;
  key_us = key;
  if (!loaded) return tl::unexpected(loaded.error());
  context = *loaded;
  return {};
}

void HttpServer::Impl::watch_certificate() {
  timer->expires_after(std::chrono::microseconds(kReloadCheckUs));
  timer->async_wait([this](const boost::system::error_code& ec) {
    if (ec) return;
    const HttpOptions& o = shared->options;
    std::int64_t certificate = 0, key = 0;
    {
      const std::lock_guard lock(mutex);
      certificate = certificate_us;
      key = key_us;
    }
    if (modified_us(o.certificate) != certificate || modified_us(o.key) != key) {
      const auto loaded = load();
      if (loaded) {
        spdlog::info("tls: {}: read again", o.certificate);
      } else {
        spdlog::warn("{}; the one in use stays", loaded.error().message());
      }
    }
    watch_certificate();
  });
}

Result<void> HttpServer::Impl::open_log() {
  const std::string& path = shared->options.access_log;
  if (path.empty()) return {};
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (fd < 0) return fail(ErrorCode::io, "access log", path, std::strerror(errno));
  const int before = shared->access_log.load();
  if (before < 0) {
    shared->access_log.store(fd);
    return {};
  }
  // The number stays the same: a thread may be about to write to it.
  (void)::dup2(fd, before);
  ::close(fd);
  return {};
}

HttpServer::HttpServer() : impl_(std::make_unique<Impl>()) {}

Result<std::unique_ptr<HttpServer>> HttpServer::start(HttpOptions options,
                                                      std::vector<HttpRoute> routes) {
  std::unique_ptr<HttpServer> server(new HttpServer());
  Impl& impl = *server->impl_;
  HttpShared& shared = *impl.shared;
  shared.options = std::move(options);
  shared.routes = std::move(routes);
  for (const HttpRoute& route : shared.routes) {
    if (!route.path.empty() && route.path.back() == '*') {
      shared.prefixes.push_back(&route);
    } else if (!shared.exact.emplace(route.path, &route).second) {
      return fail(ErrorCode::usage, "http", route.path, "two routes have this path");
    }
  }
  std::sort(shared.prefixes.begin(), shared.prefixes.end(),
            [](const auto* a, const auto* b) { return a->path.size() > b->path.size(); });
  raise_descriptor_limit();
  if (auto opened = impl.open_log(); !opened) return tl::unexpected(opened.error());
  if (!shared.options.certificate.empty()) {
    if (auto loaded = impl.load(); !loaded) return tl::unexpected(loaded.error());
  }
  for (unsigned i = 0; i < std::max(1u, shared.options.threads); ++i) {
    impl.loops.push_back(std::make_shared<HttpLoop>(impl.shared));
  }
  impl.acceptors.reserve(shared.options.listen.size());
  for (const std::string& address : shared.options.listen) {
    if (auto good = impl.listen(address); !good) return tl::unexpected(good.error());
  }
  for (tcp::acceptor& acceptor : impl.acceptors) impl.accept(acceptor);
  if (!shared.options.certificate.empty()) {
    impl.timer.emplace(impl.loops.front()->io);
    impl.watch_certificate();
  }
  for (const auto& loop : impl.loops) {
    loop->work.emplace(loop->io.get_executor());
    loop->thread = std::thread([loop] { loop->run(loop); });
  }
  return server;
}

HttpServer::~HttpServer() {
  stop(0);
}

void HttpServer::stop(std::int64_t wait_us) {
  Impl& impl = *impl_;
  if (impl.stopped) return;
  impl.stopped = true;
  impl.shared->draining = true;
  const bool running = !impl.loops.empty() && impl.loops.front()->thread.joinable();
  if (running) {
    std::promise<void> closed;
    asio::post(impl.loops.front()->io, [&] {
      boost::system::error_code ignored;
      for (tcp::acceptor& acceptor : impl.acceptors) acceptor.close(ignored);
      if (impl.timer) impl.timer->cancel();
      closed.set_value();
    });
    closed.get_future().wait();
  }
  const std::int64_t until_us = monotonic_us() + wait_us;
  while (impl.shared->open.load() != 0 && monotonic_us() < until_us) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  for (const auto& loop : impl.loops) {
    if (!loop->thread.joinable()) continue;
    asio::post(loop->io, [l = loop.get()] {
      for (HttpConnection* connection : l->connections) connection->close();
      l->ended = true;
      l->timer.cancel();
      l->work.reset();
    });
    loop->thread.join();
  }
  impl.acceptors.clear();
  impl.timer.reset();
  if (const int file = impl.shared->access_log.exchange(-1); file >= 0) ::close(file);
}

const std::vector<std::string>& HttpServer::addresses() const {
  return impl_->addresses;
}

Result<void> HttpServer::reload() {
  if (auto opened = impl_->open_log(); !opened) return opened;
  return impl_->shared->options.certificate.empty() ? Result<void>() : impl_->load();
}

HttpFigures HttpServer::figures() const {
  const auto& count = impl_->shared->count;
  const auto read = [](const auto& counter) {
    return static_cast<std::uint64_t>(counter.load(std::memory_order_relaxed));
  };
  HttpFigures f;
  f.connections = read(count.connections);
  f.connections_open = read(impl_->shared->open);
  f.connections_refused = read(count.refused);
  f.requests = read(count.requests);
  f.timeouts = read(count.timeouts);
  f.malformed = read(count.malformed);
  f.tls_failures = read(count.tls_failures);
  f.bytes_in = read(count.bytes_in);
  for (std::size_t i = 0; i < 6; ++i) f.answers[i] = read(count.answers[i]);
  return f;
}

}  // namespace bounced::net
