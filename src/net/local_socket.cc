#include "net/local_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace bounced::net {
namespace {

constexpr std::size_t kFdsMax = 3;
constexpr std::size_t kLengthBytes = 4;

tl::unexpected<Error> io_error(const char* what, const std::string& where) {
  return fail(ErrorCode::io, what, where, std::strerror(errno));
}

bool fill_address(const std::string& path, sockaddr_un& address) {
  std::memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  return true;
}

tl::unexpected<Error> too_long(const std::string& path) {
  return fail(ErrorCode::usage, "control socket", path, "path too long for a socket",
              "use a data directory with a shorter path (at most 90 bytes)");
}

std::size_t decode_length(std::string_view bytes) {
  std::uint32_t size = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    size |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return size;
}

// Waits for bytes (or the end of them); false once `give_up` says so.
bool readable(const Fd& socket, const std::function<bool()>& give_up) {
  while (!give_up()) {
    pollfd p{socket.get(), POLLIN, 0};
    const int ready = ::poll(&p, 1, 100);
    if (ready > 0 || (ready < 0 && errno != EINTR)) return true;  // recvmsg says what is wrong
  }
  return false;
}

// At most `bytes_max` bytes; the descriptors that came with them go to `fds`.
Result<std::string> receive_some(const Fd& socket, std::size_t bytes_max, std::vector<Fd>& fds) {
  char buffer[4096];
  iovec part{buffer, std::min(sizeof buffer, bytes_max)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kFdsMax)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got = -1;
  do {
    got = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return io_error("receive", "control socket");
  for (cmsghdr* h = CMSG_FIRSTHDR(&message); h != nullptr; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  if (fds.size() > kFdsMax) {
    return fail(ErrorCode::data, "receive", "control socket", "too many descriptors");
  }
  if (got == 0) {
    return fail(ErrorCode::io, "receive", "control socket", "the other side closed it");
  }
  return std::string(buffer, static_cast<std::size_t>(got));
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

void Fd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

int Fd::release() {
  const int fd = fd_;
  fd_ = -1;
  return fd;
}

Result<Fd> listen_local(const std::string& path) {
  sockaddr_un address;
  if (!fill_address(path, address)) return too_long(path);
  if (auto probe = connect_local(path)) {
    return fail(ErrorCode::busy, "control socket", path, "another bounced answers there");
  }
  ::unlink(path.c_str());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return io_error("socket", path);
  // The mode of the socket is that of the file that bind makes: no moment at which others could
  // connect, and no umask that other threads would make their files with meanwhile.
  if (::fchmod(fd.get(), 0600) != 0) return io_error("chmod", path);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return io_error("bind", path);
  }
  if (::listen(fd.get(), 16) != 0) return io_error("listen", path);
  return fd;
}

Result<Fd> connect_local(const std::string& path) {
  sockaddr_un address;
  if (!fill_address(path, address)) return too_long(path);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return io_error("socket", path);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) {
      return fail(ErrorCode::not_found, "connect", path, "no daemon answers there");
    }
    return io_error("connect", path);
  }
  return fd;
}

Result<Fd> accept_local(const Fd& listener, int timeout_ms) {
  pollfd poll_fd{listener.get(), POLLIN, 0};
  const int ready = ::poll(&poll_fd, 1, timeout_ms);
  if (ready == 0 || (ready < 0 && errno == EINTR)) return Fd();
  if (ready < 0) return io_error("poll", "control socket");
  Fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd) return io_error("accept", "control socket");
  return fd;
}

Result<void> send_message(const Fd& socket, std::string_view bytes, const std::vector<int>& fds) {
  std::string packet(kLengthBytes, '\0');
  for (std::size_t i = 0; i < kLengthBytes; ++i)
    packet[i] = static_cast<char>(bytes.size() >> (8 * i));
  packet.append(bytes);
  iovec part{packet.data(), packet.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kFdsMax)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    const std::size_t size = sizeof(int) * std::min(fds.size(), kFdsMax);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(size);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(header), fds.data(), size);
  }
  ssize_t sent = -1;
  do {
    sent = ::sendmsg(socket.get(), &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return io_error("send", "control socket");
  auto done = static_cast<std::size_t>(sent);
  while (done < packet.size()) {
    sent = ::send(socket.get(), packet.data() + done, packet.size() - done, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return io_error("send", "control socket");
    done += static_cast<std::size_t>(sent);
  }
  return {};
}

Result<ReceivedMessage> receive_message(const Fd& socket, std::size_t bytes_max,
                                        const std::function<bool()>& give_up) {
  ReceivedMessage received;
  std::string bytes;
  std::size_t wanted = kLengthBytes;
  while (bytes.size() < wanted) {
    if (give_up && !readable(socket, give_up)) {
      return fail(ErrorCode::cancelled, "receive", "control socket", "no message came");
    }
    auto got = receive_some(socket, wanted - bytes.size(), received.fds);
    if (!got) return tl::unexpected(got.error());
    bytes += *got;
    if (bytes.size() == kLengthBytes && wanted == kLengthBytes) {
      const std::size_t size = decode_length(bytes);
      if (size > bytes_max) {
        return fail(ErrorCode::data, "receive", "control socket", "message too large");
      }
      wanted += size;
    }
  }
  received.bytes = bytes.substr(kLengthBytes);
  return received;
}

}  // namespace bounced::net
