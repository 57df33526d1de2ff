// mbox_file: one open mbox, plain or compressed, read at any place.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "bounced/result.h"
#include "ingest/input.h"

namespace bounced::ingest {

/// A regular file. A rotated one may be compressed (by its content); it is read by uncompressed
/// offsets: it is decoded forwards, and what was decoded last is kept, so that short ways back cost
/// nothing; longer ones begin at its start again. Memory: some hundred KiB. Not thread safe.
class MboxFile {
 public:
  /// `rotated`: may be compressed; what MTAs append to is not. Errors: not_found, io.
  static Result<MboxFile> open(const std::string& path, bool rotated);

  /// 0 = the end. Damaged or truncated compressed data is Error{data} behind all that came before
  /// it, or the end (see look).
  Result<std::size_t> read(char* out, std::size_t size, std::uint64_t offset);
  /// Up to `size` bytes; fewer at the end, or where reading fails.
  std::string bytes(std::uint64_t offset, std::size_t size);
  /// Of a compressed file, before what may be read of it: damaged data were perhaps not whole yet,
  /// and are read again if the file has grown; one that has not changed for `torn_us` ends where
  /// its damage begins, as nobody is packing it any more.
  void look(const FileInfo& now, std::int64_t now_us, std::int64_t torn_us);

  /// Compressed: what is in it will not grow.
  [[nodiscard]] bool packed() const { return packed_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  /// As it is now. Errors: io.
  Result<FileInfo> info() const { return file_info(fd_.get(), path_); }

 private:
  MboxFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Result<void> start();
  Result<std::size_t> decode();

  Fd fd_;
  std::string path_;
  bool packed_ = false;
  // Of a compressed file:
  std::unique_ptr<Input> input_;   ///< none: not even the start of its data is whole
  std::string head_;               ///< its first kHeadHashBytes, as far as decoded
  std::string window_;             ///< what was decoded last
  std::uint64_t end_ = 0;          ///< uncompressed offset behind the window
  std::optional<Error> damage_;    ///< at end_
  std::uint64_t packed_size_ = 0;  ///< of the file, at the last look
  bool end_at_damage_ = false;
};

}  // namespace bounced::ingest
