#include "store/families.h"

#include <rocksdb/cache.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <array>
#include <cstdarg>
#include <cstdio>

#include "base/log.h"
#include "base/text.h"

namespace bounced::store {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

constexpr std::array<std::string_view, kFamilies> kNames = {
    "address", "evidence", "by_block", "rates",     "open", "inbox", "seen",
    "due",     "changes",  "names",    "positions", "sent", "meta",
};

/// Families that a replay fills with many random keys in every cut.
bool heavy(Family family) {
  switch (family) {
    case Family::address:
    case Family::evidence:
    case Family::by_block:
    case Family::rates:
    case Family::open:
    case Family::seen:
    case Family::due:
    case Family::sent:
      return true;
    default:
      return false;
  }
}

/// Families asked by whole key for things that are mostly absent. Not evidence, which is read by
/// address: a filter would cost a twentieth of a large cut and be asked by nobody.
bool point_lookups(Family family) {
  return family == Family::address || family == Family::seen || family == Family::open ||
         family == Family::sent;
}

/// Hands RocksDB's complaints to the program's own log. Its LOG file would have to be bounded, and
/// Debian's build aborts (an assertion) when that file is written to again after a full disk.
class ForwardingLogger : public rocksdb::Logger {
 public:
  ForwardingLogger() : rocksdb::Logger(rocksdb::WARN_LEVEL) {}
  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    forward(spdlog::level::debug, format, arguments);
  }
  void Logv(const rocksdb::InfoLogLevel level, const char* format, va_list arguments) override {
    if (level < GetInfoLogLevel()) return;
    forward(level >= rocksdb::ERROR_LEVEL && level <= rocksdb::FATAL_LEVEL ? spdlog::level::warn
                                                                           : spdlog::level::debug,
            format, arguments);
  }
  void LogHeader(const char*, va_list) override {}

 private:
  static void forward(spdlog::level::level_enum level, const char* format, va_list arguments) {
    if (!spdlog::should_log(level)) return;
    char text[512];
    (void)std::vsnprintf(text, sizeof text, format, arguments);
    spdlog::log(level, "store: {}", trim(text));
  }
};

}  // namespace

std::string_view family_name(Family family) {
  return kNames[static_cast<std::size_t>(family)];
}

rocksdb::DBOptions database_options(bool read_only) {
  rocksdb::DBOptions o;
  o.create_if_missing = !read_only;
  o.create_missing_column_families = !read_only;
  // Two cores, both wanted by the stages: one flush, one compaction at a time.
  o.max_background_jobs = 2;
  o.max_subcompactions = 1;
  o.bytes_per_sync = kMiB;
  o.wal_bytes_per_sync = kMiB;
  // Bounds what a restart reads back (2.3 us a record): about half a second.
  o.max_total_wal_size = 24 * kMiB;
  o.db_write_buffer_size = 160 * kMiB;
  o.avoid_flush_during_recovery = true;
  // All that is in memory is in the log, but for what commit.cc keeps there, which nobody reads.
  o.avoid_flush_during_shutdown = true;
  o.allow_concurrent_memtable_write = false;  // one writer by contract
  o.skip_stats_update_on_db_open = true;
  o.stats_dump_period_sec = 0;
  o.stats_persist_period_sec = 0;
  o.info_log = std::make_shared<ForwardingLogger>();
  o.max_manifest_file_size = 16 * kMiB;
  o.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  return o;
}

rocksdb::ColumnFamilyOptions family_options(Family family,
                                            const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions o;
  const bool big = heavy(family);
  o.write_buffer_size = (big ? 32 : 8) * kMiB;
  o.max_write_buffer_number = 3;
  o.compression = rocksdb::kNoCompression;
  // Server's words shrink well, but only what stays for long is worth the CPU.
  if (family == Family::evidence) o.bottommost_compression = rocksdb::kLZ4Compression;

  // Each large cut leaves one overlapping file in level 0. Merging many at once rewrites every
  // record about log(files)/log(trigger) times; Bloom filters keep a Get cheap meanwhile.
  o.compaction_style = rocksdb::kCompactionStyleUniversal;
  o.level0_file_num_compaction_trigger = big ? 40 : 8;
  o.level0_slowdown_writes_trigger = 400;
  o.level0_stop_writes_trigger = 800;
  o.target_file_size_base = 128 * kMiB;
  o.soft_pending_compaction_bytes_limit = 0;  // never slow a commit down for compaction
  o.hard_pending_compaction_bytes_limit = 0;

  rocksdb::BlockBasedTableOptions t;
  t.block_cache = cache;
  t.block_size = 16 * 1024;
  t.format_version = 5;
  t.checksum = rocksdb::kXXH3;
  if (point_lookups(family)) {
    t.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10, false));
    t.whole_key_filtering = true;
  }
  if (family == Family::address) {
    // Cold states are asked for in every batch. Other families spare the start its zeroing.
    o.memtable_whole_key_filtering = true;
    o.memtable_prefix_bloom_size_ratio = 0.02;
  }
  o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(t));
  return o;
}

rocksdb::Options cut_file_options(const rocksdb::DBOptions& database,
                                  const rocksdb::ColumnFamilyOptions& family) {
  rocksdb::Options o(database, family);
  o.compression = rocksdb::kNoCompression;
  o.bottommost_compression = rocksdb::kDisableCompressionOption;
  return o;
}

}  // namespace bounced::store
