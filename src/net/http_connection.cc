#include "net/http_connection.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "bounced/limits.h"

namespace bounced::net {
namespace {

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
      context_(std::move(context)),
      buffer_(shared_.options.header_bytes_max + 2 * kReadBodyBytes) {
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
  deadline_us_ = monotonic_us() + timeout_us;
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
  if (!tls_) return read_more();
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
  const std::size_t wanted = stage_ == Stage::body ? kReadBodyBytes : kReadBytes;
  if (buffer_.size() + wanted > buffer_.max_size()) {
    return refuse(431, "the header is too large");
  }
  const auto into = buffer_.prepare(wanted);
  const auto done = [self = shared_from_this()](const boost::system::error_code& ec,
                                                std::size_t bytes) { self->on_read(ec, bytes); };
  if (tls_) {
    tls_->async_read_some(into, done);
  } else {
    socket_.async_read_some(into, done);
  }
}

void HttpConnection::on_read(const boost::system::error_code& ec, std::size_t bytes) {
  if (ec || stage_ == Stage::closing) return close();
  shared_.count.bytes_in.fetch_add(bytes, std::memory_order_relaxed);
  buffer_.commit(bytes);
  feed();
}

void HttpConnection::begin_request() {
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(shared_.options.header_bytes_max));
  parser_->body_limit(shared_.options.body_bytes_max);
  parser_->eager(true);
  body_.clear();
  parser_->get().body() = std::move(body_);  // its memory
  continue_sent_ = false;
  begun_us_ = monotonic_us();
  enter(Stage::header, shared_.options.header_timeout_us);
}

void HttpConnection::feed() {
  try {
    if (!parser_ && buffer_.size() != 0) begin_request();
    while (buffer_.size() != 0) {
      boost::system::error_code ec;
      const std::size_t used = parser_->put(buffer_.data(), ec);
      buffer_.consume(used);
      const bool more = ec == http::error::need_more;
      if (ec && !more) return refuse(ec);
      if (stage_ == Stage::header && parser_->is_header_done() && !accept_header()) return;
      if (parser_->is_done()) return dispatch();
      if (more || used == 0) break;
    }
    read_more();
  } catch (const std::bad_alloc&) {
    refuse(503, "no memory");
  }
}

/// The header is complete, the body may not be; false: answered.
bool HttpConnection::accept_header() {
  enter(Stage::body, shared_.options.body_timeout_us);
  const auto& request = parser_->get();
  if (const auto length = parser_->content_length(); length && *length > kSmallBodyBytes) {
    claimed_ = static_cast<std::size_t>(*length);
  } else if (parser_->chunked()) {
    claimed_ = kSmallBodyBytes;
  }
  if (shared_.large_bodies.fetch_add(claimed_, std::memory_order_relaxed) > kLargeBodiesMax) {
    refuse(503, "too many large requests at once");
    return false;
  }
  if (!parser_->is_done() && !continue_sent_ &&
      beast::iequals(request[http::field::expect], "100-continue")) {
    send_continue();
    return false;
  }
  return true;
}

void HttpConnection::send_continue() {
  continue_sent_ = true;
  const auto done = [self = shared_from_this()](const boost::system::error_code& ec, std::size_t) {
    if (ec || self->stage_ == Stage::closing) return self->close();
    self->buffer_.size() != 0 ? self->feed() : self->read_more();
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
  begun_us_ = monotonic_us();
  HttpResponse response;
  response.status = status;
  response.body = std::string(why) + "\n";
  if (status == 503) response.headers.emplace_back("Retry-After", "10");
  respond(response);
}

// --- one request --------------------------------------------------------------------------------

void HttpConnection::list_headers() {
  headers_.clear();
  names_.clear();
  const auto& request = parser_->get();
  std::size_t bytes = 0;
  for (const auto& field : request) bytes += field.name_string().size();
  names_.reserve(bytes);  // views into it stay
  for (const auto& field : request) {
    const std::size_t from = names_.size();
    for (const char c : field.name_string()) {
      names_ += c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    }
    const auto value = field.value();
    headers_.push_back({std::string_view(names_).substr(from), {value.data(), value.size()}});
  }
}

/// False: answered.
bool HttpConnection::unpack_body(std::string_view coding) {
  if (coding.empty() || ascii_lower(coding) == "identity") {
    body_.resize(body_.size() + limits::kBlockPadding, '\0');
    body_.resize(body_.size() - limits::kBlockPadding);
    return true;
  }
  const std::string lower = ascii_lower(coding);
  if (lower != "gzip" && lower != "x-gzip" && lower != "deflate") {
    refuse(415, "this content coding is not known");
    return false;
  }
  const auto unpacked = gunzip(body_, shared_.options.body_bytes_max, unpacked_);
  if (unpacked) {
    body_.swap(unpacked_);
    return true;
  }
  const bool large = unpacked.error().code == ErrorCode::busy;
  refuse(large ? 413 : 400, large ? "the body is too large" : "the gzip data is damaged");
  return false;
}

void HttpConnection::dispatch() {
  shared_.count.requests.fetch_add(1, std::memory_order_relaxed);
  auto& message = parser_->get();
  keep_alive_ = parser_->keep_alive() && !shared_.draining.load(std::memory_order_relaxed);
  old_version_ = message.version() < 11;
  body_ = std::move(message.body());
  list_headers();
  HttpRequest request;
  const auto method = message.method_string();
  const auto target = message.target();
  request.method = {method.data(), method.size()};
  request.target = {target.data(), target.size()};
  request.path = request.target.substr(0, request.target.find('?'));
  request.headers = headers_;
  request.tls = tls_.has_value();
  head_ = request.method == "HEAD";
  client_ = client_ip(peer_, request.header("x-forwarded-for"), shared_.options.trusted_proxies);
  request.remote_ip = client_;
  route_ = shared_.route(request.path);
  if (!unpack_body(request.header("content-encoding"))) return;
  request.body = body_;
  enter(Stage::handling, shared_.options.body_timeout_us);
  if (route_ == nullptr) {
    HttpResponse response;
    response.status = 404;
    response.body = "nothing here\n";
    return respond(response);
  }
  Responder responder(shared_from_this());
  try {
    route_->handler(request, std::move(responder));
  } catch (const std::exception& e) {
    spdlog::error("http: {}: {}", route_->label.empty() ? route_->path : route_->label, e.what());
  }
}

// --- answering ----------------------------------------------------------------------------------

void HttpConnection::respond(const HttpResponse& response) {
  if (!socket_.is_open()) return;
  const auto reason = http::obsolete_reason(static_cast<http::status>(response.status));
  out_.clear();
  fmt::format_to(std::back_inserter(out_), "HTTP/1.1 {} {}\r\nServer: bounced\r\nDate: {}\r\n",
                 response.status, std::string_view(reason.data(), reason.size()), loop_->date);
  if (response.status != 204) {
    fmt::format_to(std::back_inserter(out_), "Content-Type: {}\r\nContent-Length: {}\r\n",
                   response.content_type, response.body.size());
  }
  for (const auto& [name, value] : response.headers) {
    out_.append(name).append(": ").append(value).append("\r\n");
  }
  if (!keep_alive_) out_ += "Connection: close\r\n";
  if (keep_alive_ && old_version_) out_ += "Connection: keep-alive\r\n";
  out_ += "\r\n";
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
  if (tls_) {
    asio::async_write(*tls_, asio::buffer(out_), done);
  } else {
    asio::async_write(socket_, asio::buffer(out_), done);
  }
}

void HttpConnection::release_body() {
  shared_.large_bodies.fetch_sub(std::exchange(claimed_, 0), std::memory_order_relaxed);
}

void HttpConnection::on_written(const boost::system::error_code& ec) {
  if (ec) return close();
  release_body();
  if (body_.capacity() > kSmallBodyBytes) std::string().swap(body_);
  if (unpacked_.capacity() > kSmallBodyBytes) std::string().swap(unpacked_);
  parser_.reset();
  route_ = nullptr;
  if (!keep_alive_) return linger();
  if (buffer_.size() != 0) return feed();  // pipelined
  if (buffer_.capacity() > 4 * kReadBytes) buffer_.shrink_to_fit();
  enter(Stage::idle, shared_.options.idle_timeout_us);
  read_more();
}

/// The answer is on its way: says so, and reads on for a moment.
void HttpConnection::linger() {
  enter(Stage::closing, kLingerUs);
  buffer_.consume(buffer_.size());
  if (tls_) {
    return tls_->async_shutdown(
        [self = shared_from_this()](const boost::system::error_code&) { self->close(); });
  }
  boost::system::error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
  discard();
}

void HttpConnection::discard() {
  const auto into = buffer_.prepare(kReadBodyBytes);
  socket_.async_read_some(
      into, [self = shared_from_this()](const boost::system::error_code& ec, std::size_t bytes) {
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
    const auto word = parser_->get().method_string();
    const auto target = parser_->get().target();
    method = {word.data(), word.size()};
    path = std::string_view(target.data(), target.size());
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
