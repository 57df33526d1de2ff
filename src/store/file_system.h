// The files of RocksDB, but for those that nobody reads, and with fewer syncs.
#pragma once

#include <rocksdb/env.h>

#include <atomic>
#include <memory>

namespace bounced::store {

/// Under the data directory: sorted files of a cut, until RocksDB has taken them in.
inline constexpr const char* kIngestDirectory = "ingest";

/// The machine's own files, without OPTIONS-*: at each start, and for each family of a new store,
/// RocksDB writes all options as text and parses them again to compare (20 ms CPU for a new store).
/// They are notes for its own tools; without them it only warns. What is written to
/// kIngestDirectory is synced when it is taken in, not before. A record that RocksDB's log
/// or its MANIFEST did not take in whole is taken off it at once: what a commit that failed had
/// written is never read again, and nothing stands behind a torn record, where recovery would not
/// look.
struct Files {
  std::unique_ptr<rocksdb::Env> env;  ///< outlives the database
  /// The newest of RocksDB's logs did not take a write or a sync: RocksDB asserts that no byte is
  /// written to it any more. Lives as long as `env`.
  const std::atomic<bool>* log_failed = nullptr;
};

/// `base`: the files below; null: the machine's own.
Files open_files(std::shared_ptr<rocksdb::FileSystem> base);

}  // namespace bounced::store
