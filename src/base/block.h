// Block: a pooled buffer of whole records, and where they came from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bounced/limits.h"

namespace bounced {

class BlockPool;

/// A run of whole lines of one file (or stdin). `data[-kBlockHeadroom, 0)` holds the bytes that
/// precede it in the stream (as many as `headroom` says), `kBlockPadding` readable bytes follow.
/// Ownership: BlockPtr gives it back to its pool.
struct Block {
  char* data = nullptr;
  std::uint32_t size = 0;
  std::uint32_t capacity = 0;
  std::uint32_t headroom = 0;  ///< valid bytes before data, <= kBlockHeadroom
  std::uint32_t lane = 0;      ///< ordered stream of blocks that the pipeline merges
  std::uint64_t sequence = 0;  ///< within the lane, from 0, gap-free
  std::uint32_t source = 0;    ///< Names id of the source's name
  // --- the file, for positions by content (DESIGN 4.4)
  std::uint64_t file = 0;       ///< key of the file's position record
  std::uint64_t offset = 0;     ///< of data[0] in the uncompressed bytes
  std::uint64_t head_hash = 0;  ///< of the first head_size bytes
  std::uint32_t head_size = 0;  ///< <= kHeadHashBytes
  std::uint64_t device = 0;     ///< hints
  std::uint64_t inode = 0;
  std::int64_t mtime_us = 0;    ///< anchor for years in a replay
  std::uint64_t file_size = 0;  ///< as known at the read; 0 = unknown (stdin, compressed)
  bool starts_file = false;     ///< first block read of this file in this run
  bool ends_file = false;       ///< nothing follows in this file (its size may be 0)
  // --- counted by ingest, reported with the batch
  std::uint32_t oversize_lines = 0;  ///< lines over kLineBytesMax that were cut
  std::uint64_t skipped_bytes = 0;   ///< NUL runs after copytruncate and tails of oversize lines
  int format = -1;                   ///< index of the parse row; -1 = probe
  /// The file's first line, which names the columns of some formats; null when it is not known.
  std::shared_ptr<const std::string> first_line;

  [[nodiscard]] std::string_view text() const { return {data, size}; }
};

struct BlockReturn {
  BlockPool* pool = nullptr;
  void operator()(Block* block) const;
};
using BlockPtr = std::unique_ptr<Block, BlockReturn>;

/// A fixed number of blocks; when none is free, who wants one waits: that is the back-pressure.
/// Thread safety: all methods. Must outlive its blocks.
class BlockPool {
 public:
  explicit BlockPool(std::size_t blocks = limits::kBlocksMax,
                     std::size_t bytes = limits::kBlockBytes);
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  /// Waits for a free block; nullptr once close() was called.
  BlockPtr take();
  /// nullptr when none is free now.
  BlockPtr try_take();
  /// Wakes all waiters; take() returns nullptr from now on.
  void close();
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::size_t free_approx() const;
  [[nodiscard]] std::size_t block_bytes() const;

 private:
  friend struct BlockReturn;
  void give_back(Block* block);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bounced
