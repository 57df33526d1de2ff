#include "net/http_connection.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/status.hpp>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "bounced/limits.h"

namespace bounced::net {
namespace {

/// At once, of a header and of a body.
constexpr std::size_t kReadBytes = std::size_t{4} << 10, kReadBodyBytes = std::size_t{64} << 10;
/// Bodies up to this are not counted against the sum of all large ones, nor given back at once.
constexpr std::size_t kSmallBodyBytes = std::size_t{64} << 10;
constexpr std::size_t kLargeBodiesMax = std::size_t{256} << 20;
/// After a refusal: so much more is read and thrown away, lest a reset overtakes the answer.
constexpr std::size_t kDiscardBytesMax = std::size_t{16} << 20;
constexpr std::int64_t kLingerUs = 2'000'000;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr std::string_view kTimedOut =
    "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

}  // namespace

HttpConnection::HttpConnection(std::shared_ptr<HttpLoop> loop, tcp::socket socket,
                               std::shared_ptr<asio::ssl::context> context)
    : loop_(std::move(loop)),
      shared_(*loop_->shared),
      socket_(std::move(socket)),
      context_(std::move(context)) {
  loop_->connections.insert(this);
  if (context_ != nullptr) tls_.emplace(socket_, *context_);
}

HttpConnection::~HttpConnection() {
  release_body();
  shared_.open.fetch_sub(1, std::memory_order_relaxed);
  // Elsewhere only after its thread has ended.
  if (loop_->id.load() == std::this_thread::get_id()) loop_->connections.erase(this);
}

void HttpConnection::enter(Stage stage, std::int64_t timeout_us) {
  stage_ = stage;
  deadline_us_ = loop_->now_us + timeout_us;
}

void HttpConnection::start() {
  boost::system::error_code ec;
  const auto endpoint = socket_.remote_endpoint(ec);
  if (ec) return;
  auto address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  peer_ = address.to_string();
  socket_.set_option(tcp::no_delay(true), ec);
  enter(Stage::handshake, shared_.options.header_timeout_us);
  if (!tls_) {
    socket_.non_blocking(true, ec);
    return read_more();
  }
  tls_->async_handshake(asio::ssl::stream_base::server,
                        [self = shared_from_this()](const boost::system::error_code& error) {
                          if (!error) return self->read_more();
                          self->shared_.count.tls_failures.fetch_add(1, std::memory_order_relaxed);
                          self->close();
                        });
}

void HttpConnection::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
  stage_ = Stage::closing;
}

void HttpConnection::check(std::int64_t now_us, bool draining) {
  if (draining) keep_alive_ = false;
  if (now_us >= deadline_us_) {
    if (stage_ == Stage::header || stage_ == Stage::body) {
      if (!tls_) {
        (void)::send(socket_.native_handle(), kTimedOut.data(), kTimedOut.size(),
                     MSG_DONTWAIT | MSG_NOSIGNAL);
      }
      shared_.count.answers[4].fetch_add(1, std::memory_order_relaxed);
    }
    if (stage_ != Stage::idle) shared_.count.timeouts.fetch_add(1, std::memory_order_relaxed);
    return close();
  }
  if (draining && stage_ == Stage::idle) close();
}

// --- reading ------------------------------------------------------------------------------------

void HttpConnection::read_more() {
  if (kept_.size() > shared_.options.header_bytes_max + kReadBodyBytes) {
    return refuse(431, "the header is too large");
  }
  in_.resize(kReadBytes);
  const auto done = [self = shared_from_this()](const boost::system::error_code& ec,
                                                std::size_t bytes) {
    self->loop_->now_us = monotonic_us();
    self->on_read(ec, std::string_view(self->in_).substr(0, bytes));
  };
  if (tls_) {
    tls_->async_read_some(asio::buffer(in_), done);
  } else {
    socket_.async_read_some(asio::buffer(in_), done);
  }
}

/// What there is of a body that goes on, into bytes that the thread's connections share: large
/// pieces, and yet who only waits holds little. False: nothing is there now.
bool HttpConnection::read_at_once() {
  loop_->scratch.resize(kReadBodyBytes);
  boost::system::error_code ec;
  const std::size_t bytes = socket_.read_some(asio::buffer(loop_->scratch), ec);
  if (ec == asio::error::would_block || ec == asio::error::try_again) return false;
  take({loop_->scratch.data(), bytes});
  if (ec) close();
  return true;
}

void HttpConnection::take(std::string_view bytes) {
  shared_.count.bytes_in.fetch_add(bytes.size(), std::memory_order_relaxed);
  input_kept_ = !kept_.empty();
  if (input_kept_) kept_.append(bytes);
  input_ = input_kept_ ? std::string_view(kept_) : bytes;
}

void HttpConnection::on_read(const boost::system::error_code& ec, std::string_view bytes) {
  if (ec || stage_ == Stage::closing) return close();
  take(bytes);
  feed();
}

void HttpConnection::begin_request() {
  parser_.emplace(request_);
  parser_->header_limit(static_cast<std::uint32_t>(shared_.options.header_bytes_max));
  parser_->body_limit(shared_.options.body_bytes_max);
  parser_->eager(true);
  continue_sent_ = false;
  begun_us_ = loop_->now_us;
  enter(Stage::header, shared_.options.header_timeout_us);
}

/// Takes request after request, until one waits for its answer or for bytes.
void HttpConnection::feed() {
  do {
    feeding_ = true;
    try {
      while (feed_some()) {
      }
    } catch (const std::bad_alloc&) {
      refuse(503, "no memory");
    }
    feeding_ = false;
    keep_input();
  } while (stage_ == Stage::body && !tls_ && read_at_once());
  if (stage_ < Stage::continuing || stage_ == Stage::body) read_more();
}

bool HttpConnection::feed_some() {
  if (input_.empty() || stage_ == Stage::closing) return false;
  if (!parser_) begin_request();
  boost::system::error_code ec;
  const std::size_t used = parser_->put(asio::buffer(input_.data(), input_.size()), ec);
  input_.remove_prefix(used);
  const bool more = ec == http::error::need_more;
  if (ec && !more) {
    refuse(ec);
    return false;
  }
  if (stage_ == Stage::header && parser_->is_header_done() && !accept_header()) return false;
  if (!claim(request_.body.size())) return false;
  if (!parser_->is_done()) return !more && used != 0;
  dispatch();
  return stage_ == Stage::idle;
}

/// What is not parsed yet outlives what was read.
void HttpConnection::keep_input() {
  if (input_kept_) {
    kept_.erase(0, kept_.size() - input_.size());
  } else {
    kept_.assign(input_);
  }
  if (kept_.empty() && kept_.capacity() > 4 * kReadBytes) std::string().swap(kept_);
  input_ = kept_;
  input_kept_ = true;
}

/// The header is complete, the body may not be; false: answered, or about to be told to go on.
bool HttpConnection::accept_header() {
  enter(Stage::body, shared_.options.body_timeout_us);
  const auto length = parser_->content_length();
  if (length && !claim(static_cast<std::size_t>(*length))) return false;
  if (length) request_.body.reserve(static_cast<std::size_t>(*length) + limits::kBlockPadding);
  if (!parser_->is_done() && !continue_sent_ && request_.expects_continue) {
    send_continue();
    return false;
  }
  return true;
}

/// A body has or will have so many bytes; false: answered, as there are too many large ones.
bool HttpConnection::claim(std::size_t bytes) {
  if (bytes <= kSmallBodyBytes || bytes <= claimed_) return true;
  const std::size_t more = bytes - std::exchange(claimed_, bytes);
  if (shared_.large_bodies.fetch_add(more, std::memory_order_relaxed) <= kLargeBodiesMax) {
    return true;
  }
  refuse(503, "too many large requests at once");
  return false;
}

void HttpConnection::send_continue() {
  continue_sent_ = true;
  stage_ = Stage::continuing;
  const auto done = [self = shared_from_this()](const boost::system::error_code& ec, std::size_t) {
    if (ec || self->stage_ == Stage::closing) return self->close();
    self->stage_ = Stage::body;
    self->feed();
  };
  const asio::const_buffer bytes(kContinue.data(), kContinue.size());
  if (tls_) {
    asio::async_write(*tls_, bytes, done);
  } else {
    asio::async_write(socket_, bytes, done);
  }
}

void HttpConnection::refuse(const boost::system::error_code& ec) {
  if (ec == http::error::body_limit) return refuse(413, "the body is too large");
  if (ec == http::error::header_limit) return refuse(431, "the header is too large");
  refuse(400, "not a request: " + ec.message());
}

void HttpConnection::refuse(unsigned status, std::string_view why) {
  shared_.count.malformed.fetch_add(1, std::memory_order_relaxed);
  client_ = peer_;
  keep_alive_ = head_ = false;
  begun_us_ = loop_->now_us;
  HttpResponse response;
  response.status = status;
  response.body = std::string(why) + "\n";
  if (status == 503) response.headers.emplace_back("Retry-After", "10");
  respond(response);
}

// --- one request --------------------------------------------------------------------------------

/// False: answered.
bool HttpConnection::unpack_body(std::string_view coding) {
  std::string& body = request_.body;
  if (coding.empty() || iequals(coding, "identity")) {
    body.resize(body.size() + limits::kBlockPadding, '\0');
    body.resize(body.size() - limits::kBlockPadding);
    return true;
  }
  const std::string lower = ascii_lower(coding);
  if (lower != "gzip" && lower != "x-gzip" && lower != "deflate") {
    refuse(415, "this content coding is not known");
    return false;
  }
  const auto unpacked = gunzip(body, shared_.options.body_bytes_max, unpacked_);
  if (unpacked) {
    body.swap(unpacked_);
    return true;
  }
  const bool large = unpacked.error().code == ErrorCode::busy;
  refuse(large ? 413 : 400, large ? "the body is too large" : "the gzip data is damaged");
  return false;
}

void HttpConnection::dispatch() {
  shared_.count.requests.fetch_add(1, std::memory_order_relaxed);
  keep_alive_ = parser_->keep_alive() && !shared_.draining.load(std::memory_order_relaxed);
  old_version_ = request_.old_version;
  request_.list(headers_);
  HttpRequest request;
  request.method = request_.method();
  request.target = request_.target();
  request.path = request.target.substr(0, request.target.find('?'));
  request.headers = headers_;
  request.tls = tls_.has_value();
  head_ = request.method == "HEAD";
  client_ = client_ip(peer_, request.header("x-forwarded-for"), shared_.options.trusted_proxies);
  request.remote_ip = client_;
  route_ = shared_.route(request.path);
  if (!unpack_body(request.header("content-encoding"))) return;
  request.body = request_.body;
  enter(Stage::handling, shared_.options.body_timeout_us);
  if (route_ == nullptr) {
    HttpResponse response;
    response.status = 404;
    response.body = "nothing here\n";
    return respond(response);
  }
  const HttpRoute& route = *route_;  // an answer given at once ends the request
  Responder responder(shared_from_this());
  try {
    route.handler(request, std::move(responder));
  } catch (const std::exception& e) {
    spdlog::error("http: {}: {}", route.label.empty() ? route.path : route.label, e.what());
  }
  // Nobody looks at it any more, though the answer may be a while yet.
  if (stage_ == Stage::handling) release_body();
  shrink();
}

/// Large bodies are rare: their memory is not kept.
void HttpConnection::shrink() {
  if (request_.body.capacity() > kSmallBodyBytes) std::string().swap(request_.body);
  if (unpacked_.capacity() > kSmallBodyBytes) std::string().swap(unpacked_);
}

// --- answering ----------------------------------------------------------------------------------

void HttpConnection::write_head(const HttpResponse& response) {
  const auto reason = http::obsolete_reason(static_cast<http::status>(response.status));
  const auto number = [this](std::size_t value) {
    const fmt::format_int text(value);
    out_.append(text.data(), text.size());
  };
  out_.assign("HTTP/1.1 ");
  number(response.status);
  out_.append(1, ' ').append(reason.data(), reason.size()).append(loop_->common);
  if (response.status != 204) {
    out_.append("Content-Type: ").append(response.content_type).append("\r\nContent-Length: ");
    number(response.body.size());
    out_.append("\r\n");
  }
  for (const auto& [name, value] : response.headers) {
    out_.append(name).append(": ").append(value).append("\r\n");
  }
  if (!keep_alive_) out_ += "Connection: close\r\n";
  if (keep_alive_ && old_version_) out_ += "Connection: keep-alive\r\n";
  out_ += "\r\n";
}

void HttpConnection::respond(const HttpResponse& response) {
  if (!socket_.is_open()) return;
  write_head(response);
  if (!head_ && response.status != 204) out_ += response.body;
  const unsigned klass = response.status / 100;
  shared_.count.answers[klass < 6 ? klass : 0].fetch_add(1, std::memory_order_relaxed);
  if (shared_.access_log.load(std::memory_order_relaxed) >= 0) {
    add_log_line(response.status, response.body.size());
  }
  enter(Stage::writing, shared_.options.body_timeout_us);
  const auto done = [self = shared_from_this()](const boost::system::error_code& ec, std::size_t) {
    self->on_written(ec);
  };
  if (tls_) return asio::async_write(*tls_, asio::buffer(out_), done);
  // Mostly it goes out at once; only the rest of a long one is waited for.
  boost::system::error_code ec;
  const std::size_t sent = socket_.write_some(asio::buffer(out_), ec);
  if (sent == out_.size()) return on_written({});
  if (ec && ec != asio::error::would_block && ec != asio::error::try_again) return close();
  asio::async_write(socket_, asio::buffer(out_) + sent, done);
}

void HttpConnection::release_body() {
  shared_.large_bodies.fetch_sub(std::exchange(claimed_, 0), std::memory_order_relaxed);
}

void HttpConnection::on_written(const boost::system::error_code& ec) {
  if (ec || stage_ == Stage::closing) return close();
  release_body();
  if (!feeding_) shrink();  // a handler may still look at it
  parser_.reset();
  route_ = nullptr;
  if (!keep_alive_) return linger();
  enter(Stage::idle, shared_.options.idle_timeout_us);
  if (!feeding_) feed();  // the next one may be here
}

/// The answer is on its way: says so, and reads on for a moment.
void HttpConnection::linger() {
  enter(Stage::closing, kLingerUs);
  input_ = {};
  if (tls_) {
    return tls_->async_shutdown(
        [self = shared_from_this()](const boost::system::error_code&) { self->close(); });
  }
  boost::system::error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
  discard();
}

void HttpConnection::discard() {
  if (loop_->scratch.size() < kReadBodyBytes) loop_->scratch.resize(kReadBodyBytes);
  // Whatever else is read there meanwhile: nobody looks at these.
  socket_.async_read_some(
      asio::buffer(loop_->scratch),
      [self = shared_from_this()](const boost::system::error_code& ec, std::size_t bytes) {
        self->discarded_ += bytes;
        if (ec || self->discarded_ > kDiscardBytesMax) return self->close();
        self->discard();
      });
}

/// Common log format, but for what must not be kept: whole addresses, queries, secret paths.
void HttpConnection::add_log_line(unsigned status, std::size_t bytes) {
  std::string_view method = "-", path = "-";
  std::string shown;
  if (parser_ && parser_->is_header_done()) {
    method = request_.method();
    path = request_.target();
    path = path.substr(0, path.find('?')).substr(0, 128);
  }
  if (route_ != nullptr) path = route_->label.empty() ? route_->path : route_->label;
  shown = printable(path);
  fmt::format_to(std::back_inserter(loop_->log), "{} - - [{}] \"{} {}\" {} {} {:.1f}ms\n",
                 masked_ip(client_.empty() ? std::string_view(peer_) : client_),
                 format_time(system_clock().now_us()), printable(method), shown, status, bytes,
                 static_cast<double>(monotonic_us() - begun_us_) / 1000);
  if (loop_->log.size() > kReadBodyBytes) loop_->write_log();
}

}  // namespace bounced::net
