#include "net/http_client.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>

namespace bounced::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;

struct Url {
  std::string host, port, target;
  bool tls = false;
};

Result<Url> read_url(const std::string& text) {
  Url url;
  std::string_view rest = text;
  if (rest.substr(0, 8) == "https://") {
    url.tls = true;
    rest.remove_prefix(8);
  } else if (rest.substr(0, 7) == "http://") {
    rest.remove_prefix(7);
  } else {
    return fail(ErrorCode::usage, "url", text, "begins with neither http:// nor https://");
  }
  const std::size_t slash = std::min(rest.find_first_of("/?"), rest.size());
  std::string_view authority = rest.substr(0, slash);
  url.target = std::string(rest.substr(slash));
  if (url.target.empty() || url.target.front() != '/') url.target.insert(0, "/");
  if (const auto at = authority.rfind('@'); at != std::string_view::npos) {
    authority.remove_prefix(at + 1);
  }
  url.port = url.tls ? "443" : "80";
  const std::size_t colon = authority.rfind(':');
  if (colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos) {
    url.port = std::string(authority.substr(colon + 1));
    authority = authority.substr(0, colon);
  }
  if (authority.size() > 2 && authority.front() == '[') {
    authority = authority.substr(1, authority.size() - 2);
  }
  url.host = std::string(authority);
  if (url.host.empty() || url.port.empty()) return fail(ErrorCode::usage, "url", text, "no host");
  return url;
}

/// Runs the one thing that was started, until it ends or its stream's time is over.
template <class Start>
boost::system::error_code run(asio::io_context& io, const Start& start) {
  boost::system::error_code result = asio::error::would_block;
  start([&result](const boost::system::error_code& ec, auto&&...) { result = ec; });
  io.restart();
  io.run();
  return result;
}

template <class Stream>
boost::system::error_code exchange(asio::io_context& io, Stream& stream, const Url& url,
                                   const HttpCall& call, HttpReply& reply) {
  http::request<http::string_body> request;
  request.method_string(call.method);
  request.target(url.target);
  request.set(http::field::host, url.host + ":" + url.port);
  request.set(http::field::user_agent, "bounced");
  for (const auto& [name, value] : call.headers) request.set(name, value);
  request.body() = std::string(call.body);
  request.prepare_payload();
  auto ec = run(io, [&](auto done) { http::async_write(stream, request, done); });
  if (ec) return ec;
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(call.answer_bytes_max);
  parser.skip(call.method == "HEAD");
  ec = run(io, [&](auto done) { http::async_read(stream, buffer, parser, done); });
  if (ec) return ec;
  reply.status = parser.get().result_int();
  reply.body = std::move(parser.get().body());
  return {};
}

}  // namespace

Result<HttpReply> call(const HttpCall& call) {
  auto url = read_url(call.url);
  if (!url) return tl::unexpected(url.error());
  const auto failed = [&](const boost::system::error_code& ec, std::string hint = {}) {
    return fail(ErrorCode::io, "http", call.url, ec.message(), std::move(hint));
  };
  asio::io_context io;
  boost::system::error_code ec;
  tcp::resolver resolver(io);
  const auto endpoints = resolver.resolve(url->host, url->port, ec);
  if (ec) return failed(ec);
  beast::tcp_stream plain(io);
  plain.expires_after(std::chrono::microseconds(call.timeout_us));
  ec = run(io, [&](auto done) { plain.async_connect(endpoints, done); });
  if (ec) return failed(ec);
  HttpReply reply;
  if (!url->tls) {
    ec = exchange(io, plain, *url, call, reply);
    return ec ? Result<HttpReply>(failed(ec)) : reply;
  }
  asio::ssl::context context(asio::ssl::context::tls_client);
  if (call.ca_file.empty()) {
    context.set_default_verify_paths(ec);
  } else {
    context.load_verify_file(call.ca_file, ec);
  }
  if (ec) return failed(ec);
  beast::ssl_stream<beast::tcp_stream> secure(std::move(plain), context);
  secure.set_verify_mode(call.check_server ? asio::ssl::verify_peer : asio::ssl::verify_none);
  if (call.check_server) {
    secure.set_verify_callback(asio::ssl::host_name_verification(url->host));
  }
  (void)::SSL_set_tlsext_host_name(secure.native_handle(), url->host.c_str());
  ec = run(io, [&](auto done) { secure.async_handshake(asio::ssl::stream_base::client, done); });
  if (ec) return failed(ec, "an own authority can be named, or the check left out");
  ec = exchange(io, secure, *url, call, reply);
  return ec ? Result<HttpReply>(failed(ec)) : reply;
}

}  // namespace bounced::net
