// fuzz-libs: bounced_net bounced_base
// One connection of the HTTP server, fed by hand: what its requests are must not depend on the
// pieces in which their bytes come, nor on whether answers come at once or later. The first byte of
// an input says how it is cut, the second how many answers are late.
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <deque>

#include "bounced/limits.h"
#include "net/http_connection.h"

namespace {

using namespace bounced;

/// What the handler saw.
using Seen = std::vector<std::string>;

/// The fuzzer's clock must not interrupt a connect(): it goes to another thread meanwhile.
class NoAlarm {
 public:
  NoAlarm() {
    sigset_t alarm;
    ::sigemptyset(&alarm);
    ::sigaddset(&alarm, SIGALRM);
    ::pthread_sigmask(SIG_BLOCK, &alarm, &before_);
  }
  ~NoAlarm() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  NoAlarm(const NoAlarm&) = delete;
  NoAlarm& operator=(const NoAlarm&) = delete;

 private:
  sigset_t before_{};
};

struct Server {
  std::shared_ptr<net::HttpShared> shared = std::make_shared<net::HttpShared>();
  std::shared_ptr<net::HttpLoop> loop;
  net::tcp::acceptor acceptor;
  std::deque<net::Responder> late;
  Seen* seen = nullptr;
  unsigned late_every = 0, handled = 0;

  Server() : loop(std::make_shared<net::HttpLoop>(shared)), acceptor(loop->io) {
    shared->options.header_bytes_max = 2048;
    shared->options.body_bytes_max = 8192;
    shared->routes.push_back({"/*", "", [this](const net::HttpRequest& request, net::Responder to) {
                                take(request, std::move(to));
                              }});
    shared->prefixes.push_back(&shared->routes.front());
    loop->id = std::this_thread::get_id();
    loop->ended = true;  // no timers: nothing here depends on time
    loop->sweep();
    acceptor.open(net::tcp::v4());
    acceptor.bind({net::asio::ip::address_v4::loopback(), 0});
    acceptor.listen();
  }

  void take(const net::HttpRequest& request, net::Responder to) {
    std::string all = std::string(request.method) + ' ' + std::string(request.target);
    for (const net::HttpHeader& h : request.headers) {
      all.append("\n").append(h.name).append(": ").append(h.value);
    }
    for (std::size_t i = 0; i < limits::kBlockPadding; ++i) {
      volatile char readable = request.body.data()[request.body.size() + i];
      (void)readable;
    }
    seen->push_back(all + "\n\n" + std::string(request.body));
    if (late_every != 0 && ++handled % late_every == 0) return late.push_back(std::move(to));
    to.answer({});
  }

  void poll() {
    loop->io.restart();
    while (loop->io.poll() != 0 || !late.empty()) {
      if (late.empty()) continue;
      late.front().answer({});
      late.pop_front();
    }
  }

  Seen run(std::string_view bytes, std::size_t piece, unsigned late_answers) {
    Seen result;
    seen = &result;
    late_every = late_answers;
    handled = 0;
    net::tcp::socket client(loop->io), socket(loop->io);
    {
      const NoAlarm quiet;
      client.connect(acceptor.local_endpoint());
      acceptor.accept(socket);
    }
    shared->open.fetch_add(1);
    std::make_shared<net::HttpConnection>(loop, std::move(socket), nullptr)->start();
    poll();
    char answers[4096];
    while (!bytes.empty()) {
      const std::size_t size = std::min(piece, bytes.size());
      if (::send(client.native_handle(), bytes.data(), size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        break;
      bytes.remove_prefix(size);
      poll();
      while (::recv(client.native_handle(), answers, sizeof answers, MSG_DONTWAIT) > 0) {
      }
    }
    boost::system::error_code ignored;
    client.close(ignored);
    poll();
    for (net::HttpConnection* left : loop->connections) left->close();
    poll();
    if (!loop->connections.empty() || shared->open.load() != 0) std::abort();
    return result;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 16384) return 0;
  static Server server;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const Seen whole = server.run(bytes, bytes.size(), 0);
  const Seen pieces = server.run(bytes, 1 + data[0] % 61 + (size > 2048 ? 64 : 0), data[1] % 4);
  if (whole != pieces) std::abort();
  return 0;
}
