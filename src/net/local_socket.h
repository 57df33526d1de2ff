// Local (Unix domain) stream sockets that can pass file descriptors: the control socket.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/result.h"

namespace bounced::net {

/// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd() { reset(); }
  void reset();
  int release();
  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// Binds and listens, mode 0600; replaces a socket that nobody answers. Errors name the path.
Result<Fd> listen_local(const std::string& path);
/// not_found when nobody listens there.
Result<Fd> connect_local(const std::string& path);
/// Waits up to timeout_ms; an invalid Fd on time-out.
Result<Fd> accept_local(const Fd& listener, int timeout_ms);

/// One message: 4 bytes length (little endian) and the bytes, with up to 3 descriptors
/// (SCM_RIGHTS).
Result<void> send_message(const Fd& socket, std::string_view bytes, const std::vector<int>& fds);
struct ReceivedMessage {
  std::string bytes;
  std::vector<Fd> fds;
};
/// Errors: peer closed, message over `bytes_max` or with more descriptors than one can have, and
/// that `give_up`, asked ten times a second while nothing comes, said so. Without it: waits.
Result<ReceivedMessage> receive_message(const Fd& socket, std::size_t bytes_max,
                                        const std::function<bool()>& give_up = {});

}  // namespace bounced::net
