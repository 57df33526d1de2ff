// The files of RocksDB, but for those that nobody reads, and with fewer syncs.
#pragma once

#include <rocksdb/env.h>

namespace bounced::store {

/// Under the data directory: sorted files of a cut, until RocksDB has taken them in.
inline constexpr const char* kIngestDirectory = "ingest";

/// The machine's own files, without OPTIONS-*: at each start, and for each family of a new store,
/// RocksDB writes all options as text and parses them again to compare (20 ms CPU for a new store).
/// They are notes for its own tools; without them it only warns. What is written to
/// kIngestDirectory is synced when it is taken in, not before. Lives for the whole program.
rocksdb::Env* file_system();

}  // namespace bounced::store
