// The HTTP server from outside, byte by byte.
#include "net/http_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "base/clock.h"
#include "net/local_socket.h"

namespace bounced::net {
namespace {

/// A client that says exactly what it is told to.
class Client {
 public:
  explicit Client(const std::string& address) {
    const std::size_t colon = address.rfind(':');
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1))));
    ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
    fd_ = Fd(::socket(AF_INET, SOCK_STREAM, 0));
    connected_ = ::connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  [[nodiscard]] bool connected() const { return connected_; }
  void say(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  /// Everything until `ends` were seen so many times, the other side closed, or time was over.
  std::string hear(std::string_view ends, std::size_t times = 1, int timeout_ms = 10'000) {
    const std::int64_t until = monotonic_us() + std::int64_t{timeout_ms} * 1000;
    while (count(heard_, ends) < times && monotonic_us() < until) {
      pollfd p{fd_.get(), POLLIN, 0};
      if (::poll(&p, 1, 50) <= 0) continue;
      char bytes[65536];
      const ssize_t n = ::recv(fd_.get(), bytes, sizeof bytes, 0);
      if (n <= 0) {
        closed_ = true;
        break;
      }
      heard_.append(bytes, static_cast<std::size_t>(n));
    }
    return heard_;
  }
  /// Whether the other side closes within that time.
  bool closes(int timeout_ms = 10'000) {
    hear("\x01never\x01", 1, timeout_ms);
    return closed_;
  }

 private:
  static std::size_t count(std::string_view text, std::string_view word) {
    std::size_t n = 0;
    for (std::size_t at = text.find(word); at != std::string_view::npos;
         at = text.find(word, at + word.size())) {
      ++n;
    }
    return n;
  }
  Fd fd_;
  std::string heard_;
  bool connected_ = false, closed_ = false;
};

std::string gzip(const std::string& plain) {
  z_stream stream{};
  EXPECT_EQ(::deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(::deflateBound(&stream, plain.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  ::deflateEnd(&stream);
  return packed;
}

std::string post(const std::string& path, const std::string& body, const std::string& more = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: x\r\n" + more +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

class HttpServerTest : public ::testing::Test {
 protected:
  void start(HttpOptions options = {}) {
    options.listen = {"127.0.0.1:0"};
    std::vector<HttpRoute> routes;
    routes.push_back({"/echo", "", [](const HttpRequest& request, Responder to) {
                        HttpResponse response;
                        response.body = std::string(request.method) + "|" +
                                        std::string(request.body) + "|" +
                                        std::string(request.remote_ip) + "|" +
                                        std::string(request.header("x-one")) + "#";
                        to.answer(std::move(response));
                      }});
    routes.push_back({"/later", "", [this](const HttpRequest& request, Responder to) {
                        auto held = std::make_shared<Responder>(std::move(to));
                        threads_.emplace_back([held, text = std::string(request.body)] {
                          std::this_thread::sleep_for(std::chrono::milliseconds(30));
                          HttpResponse response;
                          response.status = 202;
                          response.body = text + "#";
                          held->answer(std::move(response));
                        });
                      }});
    routes.push_back({"/forgets", "", [](const HttpRequest&, Responder) {}});
    routes.push_back({"/throws", "", [](const HttpRequest&, Responder) {
                        throw std::runtime_error("never mind");
                      }});
    routes.push_back({"/under/*", "", [](const HttpRequest& request, Responder to) {
                        HttpResponse response;
                        response.body = "under " + std::string(request.path) + "#";
                        to.answer(std::move(response));
                      }});
    auto started = HttpServer::start(std::move(options), std::move(routes));
    ASSERT_TRUE(started) << started.error().message();
    server_ = std::move(*started);
  }
  void TearDown() override {
    for (auto& thread : threads_) thread.join();
    server_.reset();
  }
  [[nodiscard]] Client client() const { return Client(server_->addresses().front()); }
  std::string ask(const std::string& request, const std::string& ends = "#") const {
    Client c = client();
    c.say(request);
    return c.hear(ends);
  }
  static std::string status(const std::string& answer) { return answer.substr(0, 12); }

  std::unique_ptr<HttpServer> server_;
  std::vector<std::thread> threads_;
};

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrderOnOneConnection) {
  start();
  Client c = client();
  c.say(post("/later", "one") + post("/echo", "two") + "GET /echo?q=1 HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string heard = c.hear("#", 3);
  const std::size_t one = heard.find("one#"), two = heard.find("POST|two|127.0.0.1|#"),
                    three = heard.find("GET||127.0.0.1|");
  ASSERT_NE(three, std::string::npos) << heard;
  EXPECT_LT(one, two);
  EXPECT_LT(two, three);
  c.say(post("/echo", "four"));
  EXPECT_NE(c.hear("#", 4).find("four"), std::string::npos) << "kept alive";
}

TEST_F(HttpServerTest, BodiesInPiecesInChunksAndOnRequest) {
  start();
  {
    Client c = client();
    const std::string request = post("/echo", "in many pieces", "X-One: 1\r\n");
    for (const char byte : request) c.say(std::string_view(&byte, 1));
    EXPECT_NE(c.hear("#").find("POST|in many pieces|127.0.0.1|1#"), std::string::npos);
  }
  EXPECT_NE(ask("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n")
                .find("POST|abcdefg|"),
            std::string::npos);
  Client c = client();
  c.say("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(c.hear("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  c.say("abc");
  EXPECT_NE(c.hear("#").find("POST|abc|"), std::string::npos);
}

TEST_F(HttpServerTest, GzipIsUndoneAndBounded) {
  HttpOptions options;
  options.body_bytes_max = 100'000;
  start(options);
  const std::string packed = gzip(std::string(90'000, 'x') + "end");
  EXPECT_NE(ask(post("/echo", packed, "Content-Encoding: gzip\r\n")).find("xxxend|"),
            std::string::npos);
  const std::string bomb = gzip(std::string(50'000'000, '\0'));
  ASSERT_LT(bomb.size(), 100'000u);
  EXPECT_EQ(status(ask(post("/echo", bomb, "Content-Encoding: gzip\r\n"), "large")),
            "HTTP/1.1 413");
  EXPECT_EQ(
      status(ask(post("/echo", packed.substr(0, packed.size() / 2), "Content-Encoding: gzip\r\n"),
                 "damaged")),
      "HTTP/1.1 400");
  EXPECT_EQ(status(ask(post("/echo", "x", "Content-Encoding: br\r\n"), "known")), "HTTP/1.1 415");
}

TEST_F(HttpServerTest, LimitsOfHeaderAndBody) {
  HttpOptions options;
  options.header_bytes_max = 4096;
  options.body_bytes_max = 1000;
  start(options);
  EXPECT_EQ(status(ask(post("/echo", std::string(1001, 'x')), "large")), "HTTP/1.1 413");
  EXPECT_EQ(status(ask(post("/echo", "x", "X-Long: " + std::string(9000, 'y') + "\r\n"), "large")),
            "HTTP/1.1 431");
  EXPECT_EQ(status(ask("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "FFFFFFFF\r\n" +
                           std::string(3000, 'z'),
                       "large")),
            "HTTP/1.1 413");
  EXPECT_EQ(status(ask("no request at all\r\n\r\n", "request")), "HTTP/1.1 400");
  EXPECT_EQ(status(ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                       "request")),
            "HTTP/1.1 400")
      << "two lengths: a proxy may have taken the other";
  EXPECT_EQ(server_->figures().malformed, 5u);
}

TEST_F(HttpServerTest, RoutesAndWhatHandlersDo) {
  start();
  EXPECT_EQ(status(ask("GET /none HTTP/1.1\r\nHost: x\r\n\r\n", "here")), "HTTP/1.1 404");
  EXPECT_NE(ask("GET /under/a/b?c HTTP/1.1\r\nHost: x\r\n\r\n").find("under /under/a/b#"),
            std::string::npos);
  EXPECT_EQ(status(ask(post("/forgets", ""), "\r\n\r\n")), "HTTP/1.1 500");
  EXPECT_EQ(status(ask(post("/throws", ""), "\r\n\r\n")), "HTTP/1.1 500");
  Client c = client();
  c.say("HEAD /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(c.closes());
  EXPECT_EQ(c.hear("x").find("HEAD|"), std::string::npos) << "no body";
  Client old = client();
  old.say("GET /echo HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(old.closes());
}

TEST_F(HttpServerTest, SlowSendersAreSentAway) {
  HttpOptions options;
  options.header_timeout_us = 300'000;
  options.body_timeout_us = 600'000;
  options.idle_timeout_us = 300'000;
  start(options);
  Client header = client(), body = client(), idle = client(), silent = client();
  header.say("POST /echo HTTP/1.1\r\nHost:");
  body.say("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
  idle.say(post("/echo", "x"));
  for (int i = 0; i < 4; ++i) {  // a drop now and then is no excuse
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    header.say("x");
    body.say("x");
  }
  EXPECT_TRUE(header.closes());
  EXPECT_EQ(status(header.hear("x")), "HTTP/1.1 408");
  EXPECT_TRUE(body.closes());
  EXPECT_TRUE(idle.closes());
  EXPECT_TRUE(silent.closes());
  EXPECT_GE(server_->figures().timeouts, 3u);
}

TEST_F(HttpServerTest, ConnectionsAreBounded) {
  HttpOptions options;
  options.connections_max = 3;
  start(options);
  std::vector<std::unique_ptr<Client>> open;
  for (int i = 0; i < 3; ++i) {
    open.push_back(std::make_unique<Client>(server_->addresses().front()));
    open.back()->say(post("/echo", "x"));
    ASSERT_NE(open.back()->hear("#").find("POST|x"), std::string::npos);
  }
  Client fourth = client();
  EXPECT_TRUE(fourth.closes());
  EXPECT_EQ(server_->figures().connections_refused, 1u);
  open.clear();
  for (int i = 0; i < 200 && server_->figures().connections_open != 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_NE(ask(post("/echo", "again")).find("again"), std::string::npos);
}

TEST_F(HttpServerTest, ForwardedAddressesOnlyOfTrustedProxies) {
  HttpOptions options;
  options.trusted_proxies = *Networks::make({"127.0.0.0/8", "10.0.0.0/8"});
  start(options);
  EXPECT_NE(ask(post("/echo", "", "X-Forwarded-For: 203.0.113.9, 192.0.2.1, 10.1.2.3\r\n"))
                .find("|192.0.2.1|"),
            std::string::npos)
      << "what the client itself wrote in front is not believed";
  server_.reset();
  start();
  EXPECT_NE(ask(post("/echo", "", "X-Forwarded-For: 192.0.2.1\r\n")).find("|127.0.0.1|"),
            std::string::npos);
}

TEST_F(HttpServerTest, StopsWithAnswersForThoseUnderWay) {
  start();
  Client busy = client(), idle = client();
  idle.say(post("/echo", "x"));
  idle.hear("#");
  busy.say(post("/later", "last"));
  std::this_thread::sleep_for(std::chrono::milliseconds(15));
  server_->stop(5'000'000);
  EXPECT_NE(busy.hear("#").find("last#"), std::string::npos);
  EXPECT_TRUE(busy.closes(1000));
  EXPECT_TRUE(idle.closes(1000));
}

TEST_F(HttpServerTest, AnAnswerMayComeAfterTheServerHasGone) {
  start();
  Client c = client();
  c.say(post("/later", "late"));
  for (int i = 0; i < 200 && server_->figures().requests == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  server_.reset();
}

TEST_F(HttpServerTest, AddressesThatAreNone) {
  for (const char* text : {"127.0.0.1", "localhost:1", "127.0.0.1:70000", "127.0.0.1:x", ":80"}) {
    HttpOptions options;
    options.listen = {text};
    EXPECT_FALSE(HttpServer::start(options, {})) << text;
  }
  HttpOptions options;
  options.listen = {"127.0.0.1:0"};
  options.certificate = "/nowhere/cert.pem";
  options.key = "/nowhere/key.pem";
  EXPECT_FALSE(HttpServer::start(options, {}));
}

TEST(NetworksTest, ContainsWhatTheySay) {
  const auto networks = Networks::make({"192.0.2.0/25", "2001:db8::/33", "10.0.0.1"});
  ASSERT_TRUE(networks);
  EXPECT_TRUE(networks->contains("192.0.2.127"));
  EXPECT_FALSE(networks->contains("192.0.2.128"));
  EXPECT_TRUE(networks->contains("::ffff:192.0.2.1"));
  EXPECT_TRUE(networks->contains("2001:db8:7fff::1"));
  EXPECT_FALSE(networks->contains("2001:db8:8000::1"));
  EXPECT_TRUE(networks->contains("10.0.0.1"));
  EXPECT_FALSE(networks->contains("10.0.0.2"));
  EXPECT_FALSE(networks->contains("nonsense"));
  for (const char* bad : {"", "192.0.2.0/33", "x/8", "192.0.2.0/", "2001:db8::/129"}) {
    EXPECT_FALSE(Networks::make({bad})) << bad;
  }
  EXPECT_EQ(masked_ip("192.0.2.7"), "192.0.2.x");
  EXPECT_EQ(masked_ip("2001:db8:1:2::3"), "2001:db8:1:x");
}

}  // namespace
}  // namespace bounced::net
