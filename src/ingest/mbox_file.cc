#include "ingest/mbox_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "bounced/limits.h"

namespace bounced::ingest {
namespace {

constexpr std::size_t kDecodeBytes = std::size_t{64} << 10;
/// More than `Lines` reads ahead of the line that it hands out (a read and a piece of a line).
constexpr std::size_t kWindowBytes = 4 * kDecodeBytes;

}  // namespace

Result<MboxFile> MboxFile::open(const std::string& path, bool rotated) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (fd.get() < 0) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::not_found : ErrorCode::io;
    return fail(code, "open", path, std::strerror(errno));
  }
  const auto info = file_info(fd.get(), path);
  if (!info || !info->regular) return fail(ErrorCode::io, "open", path, "is no regular file");
  MboxFile box(std::move(fd), path);
  if (rotated) {
    if (auto started = box.start(); !started) return tl::unexpected(started.error());
  }
  return box;
}

/// At the first byte of compressed data, if that is what it has. Damage is an error of reading.
Result<void> MboxFile::start() {
  head_.clear();
  window_.clear();
  end_ = 0;
  damage_.reset();
  input_.reset();
  Fd copy(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 3));
  if (copy.get() < 0) return io_error("open", path_, errno);
  auto input = Input::adopt(std::move(copy), path_);
  packed_ = !input || (*input)->codec() != Codec::none;
  if (input && packed_) {
    input_ = std::move(*input);
  } else if (!input && input.error().code == ErrorCode::data) {
    damage_ = input.error();
  } else if (!input) {
    return tl::unexpected(input.error());
  }
  return {};
}

void MboxFile::look(const FileInfo& now, std::int64_t now_us, std::int64_t torn_us) {
  const bool grown = now.size != std::exchange(packed_size_, now.size);
  if (grown && damage_) (void)start();
  end_at_damage_ = now_us - now.mtime_us >= torn_us;
}

/// Some more bytes into the window; 0 = the end.
Result<std::size_t> MboxFile::decode() {
  if (damage_ && end_at_damage_) return std::size_t{0};
  if (damage_) return tl::unexpected(*damage_);
  if (!input_) return fail(ErrorCode::io, "read", path_, "cannot be opened again");
  if (window_.size() > 2 * kWindowBytes) window_.erase(0, window_.size() - kWindowBytes);
  const std::size_t have = window_.size();
  window_.resize(have + kDecodeBytes);
  auto got = input_->read(window_.data() + have, kDecodeBytes, 0);
  window_.resize(have + got.value_or(0));
  if (!got && got.error().code == ErrorCode::data) {
    damage_ = got.error();
    return decode();
  }
  if (!got) return got;
  if (end_ < limits::kHeadHashBytes) {
    head_.append(window_, have, limits::kHeadHashBytes - static_cast<std::size_t>(end_));
  }
  end_ += *got;
  return got;
}

Result<std::size_t> MboxFile::read(char* out, std::size_t size, std::uint64_t offset) {
  while (!packed_) {
    const ssize_t got = ::pread(fd_.get(), out, size, static_cast<off_t>(offset));
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return io_error("read", path_, errno);
  }
  if (offset + size <= head_.size()) {
    std::memcpy(out, head_.data() + offset, size);
    return size;
  }
  if (offset + window_.size() < end_) {
    if (auto again = start(); !again) return tl::unexpected(again.error());
  }
  while (end_ <= offset) {
    auto got = decode();
    if (!got || *got == 0) return got;
  }
  const auto back = static_cast<std::size_t>(end_ - offset);
  const std::size_t count = std::min(size, back);
  std::memcpy(out, window_.data() + (window_.size() - back), count);
  return count;
}

std::string MboxFile::bytes(std::uint64_t offset, std::size_t size) {
  std::string out(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    auto got = read(out.data() + have, size - have, offset + have);
    if (!got || *got == 0) break;
    have += *got;
  }
  out.resize(have);
  return out;
}

}  // namespace bounced::ingest
