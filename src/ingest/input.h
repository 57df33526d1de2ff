// Input: the uncompressed bytes of one open file, pipe or standard input.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "bounced/result.h"

namespace bounced::ingest {

/// Owns a file descriptor.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = other.release();
    }
    return *this;
  }
  [[nodiscard]] int get() const { return fd_; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset();

 private:
  int fd_;
};

enum class Codec : std::uint8_t { none, gzip, zstd, xz, bzip2 };

/// By magic bytes (RFC 1952, RFC 8878, the .xz and bzip2 formats), never by name.
Codec recognise_codec(std::string_view head);
/// True for names that a compressing rotation gives: .gz .zst .xz .bz2.
bool has_compressed_name(std::string_view path);

/// What fstat tells.
struct FileInfo {
  std::uint64_t device = 0, inode = 0, size = 0, links = 0;
  std::int64_t mtime_us = 0;
  bool regular = false;
  [[nodiscard]] bool same_file(const FileInfo& other) const {
    return device == other.device && inode == other.inode;
  }
};

/// Opens for reading; directories and devices are refused. Errors name the path.
Result<Fd> open_file(const std::string& path);
Result<FileInfo> file_info(int fd, const std::string& path);
FileInfo info_of(const struct stat& status);
/// ErrorCode::io from errno, naming the path, with a hint for the usual causes.
tl::unexpected<Error> io_error(const char* what, const std::string& path, int error);

/// Not thread safe. Why not mmap: a file truncated under a mapping is a SIGBUS.
class Input {
 public:
  /// Asked while a pipe has nothing to say: true calls the reading off, with Error{cancelled}.
  using Cancelled = std::function<bool()>;
  /// "-" is standard input.
  static Result<std::unique_ptr<Input>> open(const std::string& path, Cancelled cancelled = {});
  static Result<std::unique_ptr<Input>> adopt(Fd fd, const std::string& path,
                                              Cancelled cancelled = {});
  ~Input();

  /// Next bytes. A plain file reads at `offset`; anything else is sequential and ignores it.
  /// 0 = end. Truncated or damaged compressed data is Error{data}, after all that came before it.
  Result<std::size_t> read(char* into, std::size_t size, std::uint64_t offset);
  /// Starts again from the first byte; only regular files.
  Result<void> rewind();
  /// A pipe that would block now.
  [[nodiscard]] bool idle() const;

  [[nodiscard]] bool plain() const { return info_.regular && codec_ == Codec::none; }
  [[nodiscard]] bool regular() const { return info_.regular; }
  [[nodiscard]] Codec codec() const { return codec_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const FileInfo& info() const { return info_; }  ///< as of the last refresh
  Result<void> refresh();
  /// Bytes taken from the file itself, before decompression.
  [[nodiscard]] std::uint64_t raw_offset() const { return raw_offset_; }

 private:
  struct Decoder;
  Input(Fd fd, std::string path);
  Result<void> start();
  Result<void> start_decoder();
  Result<std::size_t> decode(char* into, std::size_t size);
  long read_raw(char* into, std::size_t size);
  long read_from(char* into, std::size_t size, std::uint64_t offset) const;
  [[nodiscard]] bool wait_for_bytes() const;
  tl::unexpected<Error> damaged(const std::string& why) const;

  Fd fd_;
  std::string path_;
  Cancelled cancelled_;
  FileInfo info_;
  Codec codec_ = Codec::none;
  std::string prefix_;  // first bytes of a pipe, taken to recognise the codec
  std::size_t prefix_used_ = 0;
  std::uint64_t raw_offset_ = 0;
  std::uint64_t decoded_ = 0;
  std::unique_ptr<Decoder> decoder_;
};

}  // namespace bounced::ingest
