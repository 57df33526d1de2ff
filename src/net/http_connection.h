// One HTTP connection and the thread it lives on. Private to this folder.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "net/http_request_parser.h"
#include "net/http_server.h"

namespace bounced::net {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;

/// What all threads of a server share.
struct HttpShared {
  HttpOptions options;
  std::vector<HttpRoute> routes;
  std::unordered_map<std::string_view, const HttpRoute*> exact;
  std::vector<const HttpRoute*> prefixes;  ///< longest first
  std::atomic<bool> draining{false};
  std::atomic<int> access_log{-1};
  std::atomic<std::size_t> open{0};
  std::atomic<std::size_t> large_bodies{0};  ///< bytes of bodies that are larger than most
  struct {
    std::atomic<std::uint64_t> connections{0}, refused{0}, requests{0}, timeouts{0}, malformed{0},
        tls_failures{0}, bytes_in{0};
    std::atomic<std::uint64_t> answers[6] = {};
  } count;
  /// Null for a path without a route.
  [[nodiscard]] const HttpRoute* route(std::string_view path) const;
};

/// One thread's part of a server. Answers may outlive the server: they hold it through their
/// connection, and find it closed.
struct HttpLoop {
  explicit HttpLoop(std::shared_ptr<HttpShared> s) : shared(std::move(s)) {}
  std::shared_ptr<HttpShared> shared;
  asio::io_context io{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work;
  asio::steady_timer timer{io};
  std::unordered_set<HttpConnection*> connections;  ///< the thread's
  std::string common;                               ///< lines that every answer has; the thread's
  std::int64_t now_us = 0;    ///< monotonic, when it last looked; the thread's
  std::vector<char> scratch;  ///< what was read, until it is parsed; the thread's
  std::string log;            ///< access log lines not yet written
  bool ended = false;         ///< no more sweeps; the thread's
  std::thread thread;
  std::atomic<std::thread::id> id{};

  struct Answer {
    std::shared_ptr<HttpConnection> connection;
    HttpResponse response;
  };
  std::mutex mutex;
  std::vector<Answer> answers;  ///< guarded by mutex
  bool closed = false;          ///< guarded by mutex

  void run(std::shared_ptr<HttpLoop> self);
  void sweep();
  void write_log();
  void deliver(std::shared_ptr<HttpConnection> connection, HttpResponse response);
  void take_answers();
};

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(std::shared_ptr<HttpLoop> loop, tcp::socket socket,
                 std::shared_ptr<asio::ssl::context> context);
  ~HttpConnection();
  void start();
  void respond(const HttpResponse& response);
  /// Closes it when its time is over; `draining`: also when it only waits for a request.
  void check(std::int64_t now_us, bool draining);
  void close();
  [[nodiscard]] const std::shared_ptr<HttpLoop>& loop() const { return loop_; }

 private:
  enum class Stage : std::uint8_t {
    handshake,
    idle,
    header,
    continuing,
    body,
    handling,
    writing,
    closing
  };

  void enter(Stage stage, std::int64_t timeout_us);
  void read_more();
  bool read_at_once();
  void take(std::string_view bytes);
  void on_read(const boost::system::error_code& ec, std::string_view bytes);
  void feed();
  bool feed_some();
  void keep_input();
  void begin_request();
  bool accept_header();
  bool claim(std::size_t bytes);
  void send_continue();
  void refuse(const boost::system::error_code& ec);
  void refuse(unsigned status, std::string_view why);
  void dispatch();
  bool unpack_body(std::string_view coding);
  void write_head(const HttpResponse& response);
  void on_written(const boost::system::error_code& ec);
  void linger();
  void discard();
  void add_log_line(unsigned status, std::size_t bytes);
  void release_body();
  void shrink();

  std::shared_ptr<HttpLoop> loop_;
  HttpShared& shared_;
  tcp::socket socket_;
  std::shared_ptr<asio::ssl::context> context_;
  std::optional<asio::ssl::stream<tcp::socket&>> tls_;
  std::string in_;          ///< read into while it waits
  std::string kept_;        ///< bytes of the next request, or of the begin of this one
  std::string_view input_;  ///< not yet parsed: of kept_, or of what was read just now
  bool input_kept_ = true;
  RequestBytes request_;
  std::optional<RequestParser> parser_;
  std::string peer_, unpacked_, out_;
  std::vector<HttpHeader> headers_;
  std::string_view client_;
  const HttpRoute* route_ = nullptr;
  std::size_t claimed_ = 0;  ///< of HttpShared::large_bodies
  std::size_t discarded_ = 0;
  std::int64_t deadline_us_ = 0, begun_us_ = 0;
  Stage stage_ = Stage::handshake;
  bool keep_alive_ = false, head_ = false, continue_sent_ = false, old_version_ = false;
  bool feeding_ = false;  ///< feed() is on the stack: it goes on by itself
};

}  // namespace bounced::net
