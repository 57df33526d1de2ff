// Store: the one data directory. RocksDB behind the few operations that bounced needs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "bounced/result.h"
#include "store/write_set.h"

namespace rocksdb {
class FileSystem;
}

namespace bounced::store {

inline constexpr std::uint32_t kStoreVersion = 2;  ///< 2: rates in groups
/// Stores of before cannot be read: the logs have to be replayed.
inline constexpr std::uint32_t kStoreVersionMin = 2;

struct OpenOptions {
  bool create = true;
  bool read_only = false;       ///< no lock taken; sees the last commit at open
  bool fold_local_part = true;  ///< stored at creation; a mismatch is a clear error
  /// Nothing is compacted before allow_compactions(): a start after a crash has better things to do
  /// than what it did not finish before.
  bool compact_later = false;
  /// Under everything that RocksDB writes and reads; null: the machine's own files. For tests,
  /// whose disks fail.
  std::shared_ptr<rocksdb::FileSystem> files;
};

/// Consistent read view; released when destroyed. Thread safety: const methods.
class Snapshot;

/// Thread safety: reads and put_now() from any thread; commit() and sync() from one thread at a
/// time.
/// Layout: DIR/db is RocksDB's, DIR/ingest holds sorted files while a large cut is under way; the
/// rest of DIR is free for others (control socket).
class Store {
 public:
  /// Errors: newer version and fold option mismatch (data), locked by another process (busy), no
  /// store here (not_found), full disk (no_space), damage (data), I/O. Every
  /// message names the directory and what to do.
  static Result<std::unique_ptr<Store>> open(const std::string& dir, const OpenOptions& options);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// All or nothing (a cut). Fewer than kSmallCutRecords records: one WriteBatch over all
  /// families, WAL on, synced when `sync`. More (or over 64 MiB): SyncWAL, then one
  /// IngestExternalFiles of sorted files over all families (durable on return). An error leaves the
  /// store as before, also for who opens it later; the caller retries or stops. Behind an error
  /// that stopped RocksDB, large cuts too are one WriteBatch until the store is opened again.
  /// Sorting and file writing run on the calling thread and one helper.
  Result<void> commit(const WriteSet& set, bool sync);
  /// All or nothing, one WriteBatch, durable on return. Thread safety: any thread, beside commit():
  /// for what must not wait for a cut (the inbox). An error leaves the store as before; whether it
  /// can be written again is found out by the next commit(), and by put_now() once a second.
  Result<void> put_now(const WriteSet& set);
  /// Makes every returned commit durable (fdatasync of the WAL).
  Result<void> sync();

  [[nodiscard]] Result<std::optional<std::string>> get(Family family, std::string_view key) const;
  /// values[i] is nullopt when keys[i] is absent. Keys should be sorted for speed.
  Result<void> multi_get(Family family, std::span<const std::string_view> keys,
                         std::vector<std::optional<std::string>>& values) const;
  /// Visits keys with `prefix` in key order from `from` (>= prefix, or empty) while `visit`
  /// returns true. One consistent view for the whole visit.
  Result<void> scan(
      Family family, std::string_view prefix, std::string_view from,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) const;
  /// The same, in reverse key order.
  Result<void> scan_reverse(
      Family family, std::string_view prefix,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) const;

  [[nodiscard]] const Secret& secret() const;
  [[nodiscard]] bool fold_local_part() const;
  [[nodiscard]] const std::string& directory() const;
  /// Estimated number of keys; exact enough to size tables.
  [[nodiscard]] std::uint64_t approximate_keys(Family family) const;
  /// Ends OpenOptions::compact_later; else, and when called again, changes nothing. Any thread.
  void allow_compactions() const;
  /// Blocks until no flush or compaction is running or pending; allows compactions.
  void wait_idle();
  struct Stats {
    std::uint64_t commits_small = 0, commits_large = 0, records = 0, bytes = 0;
    std::uint64_t commit_us = 0, syncs = 0;
  };
  [[nodiscard]] Stats stats() const;

 private:
  Store();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// --- keys: big-endian, so that byte order is numeric order --------------------------------------
void append_u8(std::string& out, std::uint8_t v);
void append_u32_be(std::string& out, std::uint32_t v);
void append_u64_be(std::string& out, std::uint64_t v);
void append_id(std::string& out, const AddressId& id);
std::uint32_t read_u32_be(const char* p);
std::uint64_t read_u64_be(const char* p);
AddressId read_id(const char* p);

}  // namespace bounced::store
