// The control socket: commands given beside a running daemon run inside it, with the caller's own
// stdin, stdout and stderr.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <iterator>
#include <list>
#include <system_error>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "cli/app.h"
#include "net/local_socket.h"

namespace bounced::cli {
namespace {

constexpr std::size_t kRequestBytesMax = std::size_t{8} << 20;  // all that a command line can be
constexpr std::size_t kCallersMax = 64;                         // further ones wait their turn
/// A caller that has not said by then what it wants is sent away.
constexpr std::int64_t kRequestWaitUs = 5'000'000;

std::string socket_path(const std::string& data_dir) {
  return data_dir + "/control.sock";
}

// Byte for byte what the caller has, names in any encoding: fields that end with a NUL, which no
// argument can hold.
std::string encode_request(const App& app, const std::vector<std::string>& args) {
  std::string request = app.cwd + '\0' + (std::getenv("NO_COLOR") != nullptr ? '1' : '0') + '\0';
  for (const std::string& arg : args) request += arg + '\0';
  return request;
}

struct Request {
  std::string cwd;
  bool no_color = false;
  std::vector<std::string> args;
};

bool decode_request(std::string_view bytes, Request& out) {
  std::vector<std::string> fields;
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\0');
    if (end == std::string_view::npos) return false;
    fields.emplace_back(bytes.substr(0, end));
    bytes.remove_prefix(end + 1);
  }
  if (fields.size() < 2 || (fields[1] != "0" && fields[1] != "1")) return false;
  out.cwd = std::move(fields[0]);
  out.no_color = fields[1] == "1";
  out.args.assign(std::make_move_iterator(fields.begin() + 2),
                  std::make_move_iterator(fields.end()));
  return true;
}

// True once the other side has hung up.
bool hung_up(const net::Fd& socket) {
  pollfd p{socket.get(), POLLIN | POLLRDHUP, 0};
  return ::poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0;
}

// The user at the other end.
std::uint32_t socket_peer(const net::Fd& socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.uid
                                                                                : ::getuid();
}

}  // namespace

Result<int> forward(const std::string& data_dir, const App& app,
                    const std::vector<std::string>& args) {
  auto socket = net::connect_local(socket_path(data_dir));
  if (!socket) {
    // A path that no socket can have means that no daemon of this version listens there.
    if (socket.error().code == ErrorCode::usage) {
      return fail(ErrorCode::not_found, "connect", data_dir, "no daemon answers there");
    }
    return tl::unexpected(socket.error());
  }
  auto sent = net::send_message(*socket, encode_request(app, args),
                                {app.io.in_fd(), app.io.out_fd(), app.io.err_fd()});
  if (!sent) return tl::unexpected(sent.error());
  auto answer = net::receive_message(*socket, 64);
  if (!answer) {
    return fail(ErrorCode::io, "control socket", socket_path(data_dir),
                "the daemon ended before the command did", "see its log");
  }
  return std::atoi(answer->bytes.c_str());
}

struct ControlServer::Impl {
  pipeline::Engine* engine = nullptr;
  const HttpService* http = nullptr;
  const MailWatch* mails = nullptr;
  Config config;
  net::Fd listener;
  std::string path;
  std::atomic<bool> stopping{false};
  std::thread acceptor;
  struct Caller {
    std::thread thread;
    std::atomic<bool> done{false};
  };
  std::list<std::unique_ptr<Caller>> callers;

  void accept_loop() {
    while (!stopping) {
      callers.remove_if([](const std::unique_ptr<Caller>& c) {
        if (!c->done) return false;
        c->thread.join();
        return true;
      });
      if (callers.size() >= kCallersMax) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        continue;
      }
      auto socket = net::accept_local(listener, 200);
      if (!socket) {
        spdlog::warn("{}", socket.error().message());
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        continue;
      }
      if (*socket) start_caller(std::move(*socket));
    }
  }

  void start_caller(net::Fd socket) {
    auto caller = std::make_unique<Caller>();
    Caller* raw = caller.get();
    try {
      raw->thread = std::thread([this, raw, s = std::make_shared<net::Fd>(std::move(socket))] {
        serve(*s);
        raw->done = true;
      });
    } catch (const std::system_error& e) {  // no more threads: this caller has to come again
      spdlog::warn("control socket: {}", e.what());
      return;
    }
    callers.push_back(std::move(caller));
  }

  void serve(const net::Fd& socket) {
    const std::int64_t wait_until = monotonic_us() + kRequestWaitUs;
    auto message = net::receive_message(socket, kRequestBytesMax,
                                        [&] { return stopping || monotonic_us() > wait_until; });
    Request request;
    if (!message || message->fds.size() != 3 || !decode_request(message->bytes, request)) return;
    int status = 3;
    {
      const auto cancelled = [&] { return stopping || hung_up(socket); };
      Io io(message->fds[0].get(), message->fds[1].get(), message->fds[2].get(), request.no_color,
            cancelled);
      App app(io);
      app.cwd = request.cwd;
      app.uid = socket_peer(socket);
      app.live = engine;
      app.live_http = http;
      app.live_mails = mails;
      app.live_config = &config;
      app.cancelled = cancelled;
      try {
        status = run_app(app, request.args);
      } catch (const std::exception& e) {
        status = io.report({ErrorCode::io, "internal error", "", e.what(), ""});
      }
    }
    (void)net::send_message(socket, std::to_string(status), {});
  }
};

ControlServer::ControlServer() : impl_(std::make_unique<Impl>()) {}

Result<std::unique_ptr<ControlServer>> ControlServer::start(pipeline::Engine& engine,
                                                            const Config& config,
                                                            const HttpService* http,
                                                            const MailWatch* mails) {
  std::unique_ptr<ControlServer> server(new ControlServer());
  server->impl_->engine = &engine;
  server->impl_->http = http;
  server->impl_->mails = mails;
  server->impl_->config = config;
  server->impl_->path = socket_path(config.data_dir);
  auto listener = net::listen_local(server->impl_->path);
  if (!listener) return tl::unexpected(listener.error());
  server->impl_->listener = std::move(*listener);
  server->impl_->acceptor = std::thread([impl = server->impl_.get()] { impl->accept_loop(); });
  return server;
}

ControlServer::~ControlServer() {
  if (!impl_->acceptor.joinable()) return;
  impl_->stopping = true;
  impl_->acceptor.join();
  for (auto& caller : impl_->callers) caller->thread.join();
  ::unlink(impl_->path.c_str());
}

}  // namespace bounced::cli
