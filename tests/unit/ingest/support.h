// What the ingest tests share: a folder of real files, compressed ones too, and readers of all.
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/block.h"
#include "base/hash.h"
#include "ingest/ingest.h"

namespace bounced::ingest {

namespace fs = std::filesystem;

class TempDir {
 public:
  TempDir() {
    std::string name = (fs::temp_directory_path() / "bounced-ingest-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] std::string operator/(std::string_view name) const {
    return (path_ / name).string();
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

inline void write_file(const std::string& path, std::string_view text) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
}
/// One O_APPEND write, as a logger does it.
inline void append_file(const std::string& path, std::string_view text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0 || ::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    std::abort();
  }
  ::close(fd);
}
inline std::string read_whole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::string compressed(std::string_view text, const std::string& suffix) {
  std::vector<char> out(text.size() + (1 << 20));
  std::size_t used = 0;
  archive* writer = archive_write_new();
  if (suffix == ".gz") archive_write_add_filter_gzip(writer);
  if (suffix == ".zst") archive_write_add_filter_zstd(writer);
  if (suffix == ".xz") archive_write_add_filter_xz(writer);
  if (suffix == ".bz2") archive_write_add_filter_bzip2(writer);
  archive_write_set_format_raw(writer);
  archive_write_set_bytes_in_last_block(writer, 1);
  if (archive_write_open_memory(writer, out.data(), out.size(), &used) != ARCHIVE_OK) std::abort();
  archive_entry* entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_pathname(entry, "log");
  archive_write_header(writer, entry);
  archive_write_data(writer, text.data(), text.size());
  archive_entry_free(entry);
  archive_write_close(writer);
  archive_write_free(writer);
  return {out.data(), used};
}

/// n numbered lines of uneven length.
inline std::string numbered_lines(int from, int to, unsigned seed = 1) {
  std::mt19937 random(seed + static_cast<unsigned>(from));
  std::string text;
  for (int i = from; i < to; ++i) {
    text += "Nov 21 20:22:" + std::to_string(10 + i % 50) + " mx postfix/smtp[7]: line " +
            std::to_string(i) + " " + std::string(random() % 120, static_cast<char>('a' + i % 26)) +
            "\n";
  }
  return text;
}

/// Everything a reader gave, checked for the promises of Block on the way.
struct Drained {
  std::string text;  ///< all blocks, one after the other
  std::uint64_t blocks = 0, oversize = 0, skipped = 0;
  bool started = false, ended = false;
  Position position;  ///< as the pipeline would store it behind the last block
  std::string error;  ///< message of the error that stopped it, if one did
  ReadStatus last = ReadStatus::data;
};

/// What the pipeline makes of a block it has applied.
inline Position position_of(const Block& block, const std::string& source) {
  Position position;
  position.file = block.file;
  position.source = source;
  position.head_size = block.head_size;
  position.head_hash = block.head_hash;
  position.offset = block.offset + block.size;
  const std::size_t known = std::size_t{block.headroom} + block.size;
  position.tail_size = static_cast<std::uint32_t>(std::min(known, limits::kTailHashBytes));
  position.tail_hash = hash64({block.data + block.size - position.tail_size, position.tail_size});
  position.device = block.device;
  position.inode = block.inode;
  position.finished = block.ends_file;
  return position;
}

inline Drained drain(FileReader& reader, std::size_t block_bytes = limits::kBlockBytes,
                     std::uint64_t blocks_max = UINT64_MAX) {
  BlockPool pool(1, block_bytes);
  Drained out;
  while (out.blocks < blocks_max) {
    const BlockPtr block = pool.take();
    const auto status = reader.next(*block);
    if (!status) {
      out.error = status.error().message();
      break;
    }
    out.last = *status;
    if (*status != ReadStatus::data) break;
    out.text.append(block->data, block->size);
    out.blocks += 1;
    out.oversize += block->oversize_lines;
    out.skipped += block->skipped_bytes;
    out.started = out.started || block->starts_file;
    out.ended = block->ends_file;
    out.position = position_of(*block, reader.position().source);
  }
  return out;
}

inline FileOptions replay_options() {
  FileOptions options;
  options.source_name = "test";
  return options;
}

}  // namespace bounced::ingest
