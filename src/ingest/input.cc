#include "ingest/input.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace bounced::ingest {

namespace {

constexpr std::size_t kRawBytes = std::size_t{256} << 10;
constexpr std::size_t kMagicBytes = 16;
constexpr int kCancelPollMs = 50;

struct ArchiveFree {
  void operator()(archive* handle) const { archive_read_free(handle); }
};

const char* codec_name(Codec codec) {
  switch (codec) {
    case Codec::gzip:
      return "gzip";
    case Codec::zstd:
      return "zstd";
    case Codec::xz:
      return "xz";
    case Codec::bzip2:
      return "bzip2";
    case Codec::none:
      break;
  }
  return "plain";
}

int archive_code(Codec codec) {
  switch (codec) {
    case Codec::gzip:
      return ARCHIVE_FILTER_GZIP;
    case Codec::zstd:
      return ARCHIVE_FILTER_ZSTD;
    case Codec::xz:
      return ARCHIVE_FILTER_XZ;
    case Codec::bzip2:
      return ARCHIVE_FILTER_BZIP2;
    case Codec::none:
      break;
  }
  return ARCHIVE_FILTER_NONE;
}

int support_filter(archive* handle, Codec codec) {
  switch (codec) {
    case Codec::gzip:
      return archive_read_support_filter_gzip(handle);
    case Codec::zstd:
      return archive_read_support_filter_zstd(handle);
    case Codec::xz:
      return archive_read_support_filter_xz(handle);
    case Codec::bzip2:
      return archive_read_support_filter_bzip2(handle);
    case Codec::none:
      break;
  }
  return ARCHIVE_FATAL;
}

}  // namespace

FileInfo info_of(const struct stat& status) {
  FileInfo info;
  info.device = status.st_dev;
  info.inode = status.st_ino;
  info.size = static_cast<std::uint64_t>(status.st_size);
  info.links = status.st_nlink;
  info.mtime_us = status.st_mtim.tv_sec * std::int64_t{1'000'000} + status.st_mtim.tv_nsec / 1000;
  info.regular = S_ISREG(status.st_mode);
  return info;
}

void Fd::reset() {
  if (fd_ > STDIN_FILENO) ::close(fd_);
  fd_ = -1;
}

Codec recognise_codec(std::string_view head) {
  const auto starts = [head](std::string_view magic) {
    return head.substr(0, magic.size()) == magic;
  };
  if (starts("\x1f\x8b\x08")) return Codec::gzip;
  if (starts("\x28\xb5\x2f\xfd")) return Codec::zstd;
  if (starts(std::string_view("\xfd"
                              "7zXZ\0",
                              6))) {
    return Codec::xz;
  }
  // "BZh", level, then the magic of a block or of the end of an empty stream: text may start "BZh".
  if (starts("BZh") && head.size() >= 10 && head[3] >= '1' && head[3] <= '9') {
    const std::string_view magic = head.substr(4, 6);
    if (magic == "\x31\x41\x59\x26\x53\x59" || magic == "\x17\x72\x45\x38\x50\x90") {
      return Codec::bzip2;
    }
  }
  return Codec::none;
}

bool has_compressed_name(std::string_view path) {
  for (const std::string_view suffix : {".gz", ".zst", ".xz", ".bz2"}) {
    if (path.size() > suffix.size() && path.substr(path.size() - suffix.size()) == suffix)
      return true;
  }
  return false;
}

tl::unexpected<Error> io_error(const char* what, const std::string& path, int error) {
  if (error == ECANCELED) return fail(ErrorCode::cancelled, what, path, "stopped by request");
  std::string hint;
  if (error == EACCES || error == EPERM) {
    hint = "give this user read access, e.g. by the group adm";
  } else if (error == EMFILE || error == ENFILE) {
    hint = "raise the limit of open files";
  }
  return fail(ErrorCode::io, what, path, std::strerror(error), std::move(hint));
}

Result<FileInfo> file_info(int fd, const std::string& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return io_error("read", path, errno);
  return info_of(status);
}

Result<Fd> open_file(const std::string& path) {
  // O_NONBLOCK: a FIFO without a writer must not hang a daemon that found it by a glob.
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  int fd = ::open(path.c_str(), kFlags | O_NOATIME);
  if (fd < 0 && errno == EPERM) fd = ::open(path.c_str(), kFlags);  // not the owner
  if (fd < 0) return io_error("open", path, errno);
  Fd owned(fd);
  struct stat status {};
  if (::fstat(fd, &status) != 0) return io_error("open", path, errno);
  if (S_ISDIR(status.st_mode)) {
    return fail(ErrorCode::io, "open", path, "is a directory", "name files, or a glob in quotes");
  }
  if (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode)) {
    return fail(ErrorCode::io, "open", path, "is neither a file nor a pipe");
  }
  if (S_ISREG(status.st_mode)) {
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  } else {
    const int flags = ::fcntl(fd, F_GETFL);
    ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
  }
  return owned;
}

/// libarchive's handle and the buffer its callback fills.
struct Input::Decoder {
  std::unique_ptr<archive, ArchiveFree> handle;
  std::vector<char> buffer;
  Input* input = nullptr;
  int read_error = 0;
  bool ended = false;

  static la_ssize_t read(archive*, void* data, const void** bytes) {
    auto* self = static_cast<Decoder*>(data);
    const long got = self->input->read_raw(self->buffer.data(), self->buffer.size());
    if (got < 0) {
      self->read_error = static_cast<int>(-got);
      archive_set_error(self->handle.get(), self->read_error, "%s",
                        std::strerror(self->read_error));
      return -1;
    }
    *bytes = self->buffer.data();
    return got;
  }
};

Input::Input(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
Input::~Input() = default;

Result<std::unique_ptr<Input>> Input::open(const std::string& path, Cancelled cancelled) {
  if (path == "-") return adopt(Fd(STDIN_FILENO), "standard input", std::move(cancelled));
  auto fd = open_file(path);
  if (!fd) return tl::unexpected(std::move(fd.error()));
  return adopt(std::move(*fd), path, std::move(cancelled));
}

Result<std::unique_ptr<Input>> Input::adopt(Fd fd, const std::string& path, Cancelled cancelled) {
  std::unique_ptr<Input> input(new Input(std::move(fd), path));
  input->cancelled_ = std::move(cancelled);
  if (auto started = input->start(); !started) return tl::unexpected(std::move(started.error()));
  return input;
}

Result<void> Input::start() {
  if (auto refreshed = refresh(); !refreshed) return refreshed;
  // `bounced replay - < file`: an offset that is not 0 belongs to somebody else's reading.
  if (info_.regular && fd_.get() == STDIN_FILENO && ::lseek(STDIN_FILENO, 0, SEEK_CUR) != 0) {
    info_.regular = false;
  }
  char magic[kMagicBytes];
  std::size_t have = 0;
  while (have < sizeof magic) {
    const long got = read_from(magic + have, sizeof magic - have, have);
    if (got < 0) return io_error("read", path_, static_cast<int>(-got));
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  codec_ = recognise_codec({magic, have});
  if (!info_.regular) prefix_.assign(magic, have);
  return codec_ == Codec::none ? Result<void>() : start_decoder();
}

Result<void> Input::refresh() {
  auto info = file_info(fd_.get(), path_);
  if (!info) return tl::unexpected(std::move(info.error()));
  const bool was_stream = info_.inode != 0 && !info_.regular;
  info_ = *info;
  if (was_stream) info_.regular = false;
  return {};
}

Result<void> Input::rewind() {
  if (!info_.regular) return fail(ErrorCode::io, "rewind", path_, "a pipe cannot be read twice");
  raw_offset_ = 0;
  decoded_ = 0;
  return codec_ == Codec::none ? Result<void>() : start_decoder();
}

Result<void> Input::start_decoder() {
  auto decoder = std::make_unique<Decoder>();
  decoder->input = this;
  decoder->buffer.resize(kRawBytes);
  decoder->handle.reset(archive_read_new());
  archive* handle = decoder->handle.get();
  if (handle == nullptr || support_filter(handle, codec_) < ARCHIVE_WARN) {
    return fail(ErrorCode::io, "open", path_,
                std::string("this libarchive cannot read ") + codec_name(codec_));
  }
  archive_read_support_format_raw(handle);
  archive_read_support_format_empty(handle);
  decoder_ = std::move(decoder);
  if (archive_read_open(handle, decoder_.get(), nullptr, &Decoder::read, nullptr) != ARCHIVE_OK) {
    const char* why = archive_error_string(handle);  // null for some
    return damaged(why != nullptr ? why : "truncated");
  }
  archive_entry* entry = nullptr;
  const int status = archive_read_next_header(handle, &entry);
  // A header cut short is not recognised by libarchive, which would hand out the raw bytes.
  if (archive_filter_code(handle, 0) != archive_code(codec_)) return damaged("truncated");
  if (status == ARCHIVE_EOF) {
    decoder_->ended = true;
  } else if (status < ARCHIVE_WARN) {
    const char* why = archive_error_string(handle);
    return damaged(why != nullptr ? why : "truncated");
  }
  return {};
}

tl::unexpected<Error> Input::damaged(const std::string& why) const {
  if (decoder_ != nullptr && decoder_->read_error != 0) {
    return io_error("read", path_, decoder_->read_error);
  }
  return fail(ErrorCode::data, "read", path_,
              "truncated or damaged " + std::string(codec_name(codec_)) + " data after " +
                  std::to_string(decoded_) + " bytes read: " + why,
              "what was whole has been read; run again when the file is complete");
}

/// Sleeps until a pipe has bytes, or its end; false when the reading is called off.
bool Input::wait_for_bytes() const {
  while (cancelled_) {
    if (cancelled_()) return false;
    pollfd waiting{fd_.get(), POLLIN, 0};
    const int ready = ::poll(&waiting, 1, kCancelPollMs);
    if (ready > 0 || (ready < 0 && errno != EINTR)) break;
  }
  return true;
}

/// One read, of a regular file at `offset`; -errno when it fails.
long Input::read_from(char* into, std::size_t size, std::uint64_t offset) const {
  for (;;) {
    if (!info_.regular && !wait_for_bytes()) return -ECANCELED;
    const ssize_t got = info_.regular ? ::pread(fd_.get(), into, size, static_cast<off_t>(offset))
                                      : ::read(fd_.get(), into, size);
    if (got >= 0) return static_cast<long>(got);
    if (errno != EINTR) return -static_cast<long>(errno);
  }
}

long Input::read_raw(char* into, std::size_t size) {
  if (prefix_used_ < prefix_.size()) {
    const std::size_t take = std::min(size, prefix_.size() - prefix_used_);
    std::memcpy(into, prefix_.data() + prefix_used_, take);
    prefix_used_ += take;
    raw_offset_ += take;
    return static_cast<long>(take);
  }
  const long got = read_from(into, size, raw_offset_);
  if (got > 0) raw_offset_ += static_cast<std::uint64_t>(got);
  return got;
}

Result<std::size_t> Input::decode(char* into, std::size_t size) {
  if (decoder_->ended) return std::size_t{0};
  const la_ssize_t got = archive_read_data(decoder_->handle.get(), into, size);
  if (got < 0) {
    const char* why = archive_error_string(decoder_->handle.get());
    return damaged(why != nullptr ? why : "truncated");
  }
  if (got == 0) decoder_->ended = true;
  decoded_ += static_cast<std::uint64_t>(got);
  return static_cast<std::size_t>(got);
}

Result<std::size_t> Input::read(char* into, std::size_t size, std::uint64_t offset) {
  if (codec_ != Codec::none) return decode(into, size);
  if (info_.regular) raw_offset_ = offset;
  const long got = read_raw(into, size);
  if (got < 0) return io_error("read", path_, static_cast<int>(-got));
  return static_cast<std::size_t>(got);
}

bool Input::idle() const {
  if (info_.regular || prefix_used_ < prefix_.size()) return false;
  pollfd waiting{fd_.get(), POLLIN, 0};
  return ::poll(&waiting, 1, 0) == 0;
}

}  // namespace bounced::ingest
