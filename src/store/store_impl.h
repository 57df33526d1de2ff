// What Store holds. Private to this folder.
#pragma once

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/listener.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "store/file_system.h"
#include "store/sorted.h"
#include "store/store.h"

namespace bounced::store {

/// Notes background errors, and keeps RocksDB from recovering by itself: it polls every 5 s and
/// wants more free space than a flush needs. commit() calls Resume() instead.
class ErrorListener : public rocksdb::EventListener {
 public:
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                            bool* auto_recovery) override {
    *auto_recovery = false;
  }
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* error) override {
    seen.store(true, std::memory_order_relaxed);
    if (error->severity() >= rocksdb::Status::kHardError) {
      stopped.store(true, std::memory_order_relaxed);
    }
  }
  std::atomic<bool> seen{false};
  /// RocksDB has stopped once. It (7.8) does not forget that when it goes on: writes are taken, but
  /// the files of a large cut get no number, which it then asserts.
  std::atomic<bool> stopped{false};
};

/// Occupies the one thread that compacts until it is released. RocksDB's own switch is written to
/// its manifest, and a disk that fails then leaves it in a state that it does not get out of.
class OccupiedThread {
 public:
  explicit OccupiedThread(rocksdb::Env& env) {
    env.Schedule(&wait, new std::shared_ptr<State>(state_), rocksdb::Env::LOW);
  }
  ~OccupiedThread() { release(); }
  OccupiedThread(const OccupiedThread&) = delete;
  OccupiedThread& operator=(const OccupiedThread&) = delete;
  /// Any thread; more than once is fine.
  void release() {
    const std::lock_guard lock(state_->mutex);
    state_->released = true;
    state_->changed.notify_all();
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool released = false;
  };
  static void wait(void* given) {
    const std::unique_ptr<std::shared_ptr<State>> state(
        static_cast<std::shared_ptr<State>*>(given));
    std::unique_lock lock((*state)->mutex);
    (*state)->changed.wait(lock, [&] { return (*state)->released; });
  }
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

struct Store::Impl {
  std::string dir;         ///< the data directory, as given
  std::string db_dir;      ///< DIR/db: RocksDB's own files
  std::string ingest_dir;  ///< DIR/ingest: sorted files until they are linked into db_dir
  bool read_only = false;
  bool fold_local_part = true;
  Secret secret{};
  Files files;  ///< outlives db
  std::shared_ptr<rocksdb::Cache> cache;
  rocksdb::DBOptions db_options;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;  ///< owned by db; families, then default
  // Null: not there, and only read; empty.
  std::unique_ptr<rocksdb::DB> db;
  std::unique_ptr<OccupiedThread> compactions_held;  ///< null: never were
  std::uint64_t next_file = 0;
  std::array<Sorted, kFamilies> sorted;  ///< of the cut that commit() writes; memory is kept
  std::shared_ptr<ErrorListener> errors = std::make_shared<ErrorListener>();
  /// Held while RocksDB's log is written to, or is given up for a new one: no write may come
  /// between one that failed and what RocksDB is told then.
  std::mutex log_mutex;
  // --- guarded by log_mutex
  std::optional<Error> write_error;  ///< of a write: RocksDB may have stopped taking any
  std::int64_t resumed_us = 0;       ///< when RocksDB was last asked to go on

  struct Counters {
    std::atomic<std::uint64_t> commits_small{0}, commits_large{0}, records{0}, bytes{0};
    std::atomic<std::uint64_t> commit_us{0}, syncs{0};
  } counters;

  ~Impl();
  [[nodiscard]] rocksdb::ColumnFamilyHandle* handle(Family family) const {
    return handles[static_cast<std::size_t>(family)];
  }

  // store.cc
  Result<void> open_database(const OpenOptions& options);
  Result<void> check_families(std::vector<std::string>& present) const;
  Result<void> load_meta(const OpenOptions& options);
  Result<void> create_meta(const OpenOptions& options);
  Result<void> remove_leftovers() const;
  // commit.cc
  /// With log_mutex held. Before every write.
  Result<void> resume();
  rocksdb::Status write_log(rocksdb::WriteBatch& batch, const rocksdb::WriteOptions& options);
  void keep_in_memory();
  Result<void> commit_small(const WriteSet& set, bool sync);
  Result<void> commit_large(const WriteSet& set);
  /// Remembers that RocksDB may need a Resume(), and makes the error. With log_mutex held.
  tl::unexpected<Error> write_failed(const rocksdb::Status& status, std::string what);
};

}  // namespace bounced::store
