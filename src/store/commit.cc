// Commits: a small cut is one WriteBatch, a large one sorted files that RocksDB takes in at once.
//
// The trap that the order below avoids: ingested files are durable when the call returns, but a
// WriteBatch before them may still be in the page cache only. After a power loss the newer cut
// would be there and the older one not. Hence the WAL is synced before anything is ingested.
// RocksDB itself syncs each ingested file, the directory it is linked into, and its MANIFEST, where
// all families of one call are one atomic group (read in its source, 7.8).
#include <rocksdb/perf_level.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/write_batch.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "bounced/limits.h"
#include "store/families.h"
#include "store/sorted.h"
#include "store/status.h"
#include "store/store.h"
#include "store/store_impl.h"

namespace bounced::store {
namespace {

using rocksdb::Slice;

/// A cut of few but big records is no WriteBatch either.
constexpr std::size_t kSmallCutBytes = std::size_t{64} << 20;
/// Parts smaller than this are not worth two files.
constexpr std::size_t kSplitBytesMin = std::size_t{4} << 20;
constexpr std::int64_t kResumeIntervalUs = 10'000'000;
/// Requests come in all the time: on a full disk not each of them is worth another try.
constexpr std::int64_t kPutResumeIntervalUs = 1'000'000;
constexpr std::size_t kBatchHeaderBytes = 64, kBatchRecordBytes = 16;

Slice slice(std::string_view bytes) {
  return {bytes.data(), bytes.size()};
}

/// RocksDB counts comparisons of keys and more for each thread; nobody reads that. A thirtieth of
/// the instructions of a large cut.
void stop_counting() {
  rocksdb::SetPerfLevel(rocksdb::PerfLevel::kDisable);
}

/// Runs jobs 0..n-1 in that order, on this thread and one helper.
template <class Job>
void run_on_two(std::size_t jobs, const Job& job) {
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = 0; (i = next.fetch_add(1, std::memory_order_relaxed)) < jobs;) job(i);
  };
  std::thread helper;
  if (jobs > 1) {
    try {
      helper = std::thread(work);
    } catch (const std::system_error&) {
      // No thread to be had: alone, then.
    }
  }
  work();
  if (helper.joinable()) helper.join();
}

/// One sorted file to write: a range of a family's keys.
struct FileJob {
  Family family = Family::address;
  Sorted* sorted = nullptr;
  std::size_t from = 0, to = 0;  ///< buckets
  std::size_t bytes = 0;
  std::string path;
  bool written = false;  ///< false: the range was empty, or it failed
  rocksdb::Status status;
};

void write_file(const rocksdb::Options& options, rocksdb::ColumnFamilyHandle* handle,
                FileJob& job) {
  stop_counting();
  // invalidate_page_cache off: these bytes are read again soon, by Gets and by compaction.
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(options), options, handle, false);
  rocksdb::Status& status = job.status;
  bool open = false;
  job.sorted->visit(job.from, job.to, [&](const WriteSet::Entry& entry) {
    if (!open) {
      status = writer.Open(job.path);
      open = status.ok();
      if (!open) return false;
    }
    status = entry.erase ? writer.Delete(slice(entry.key()))
                         : writer.Put(slice(entry.key()), slice(entry.value()));
    return status.ok();
  });
  if (open && status.ok()) {
    status = writer.Finish();
    job.written = status.ok();
  }
}

/// Splits the parts of `set` into files: two for a part so large that one thread would be left
/// alone with it.
std::vector<FileJob> plan_files(const WriteSet& set, std::array<Sorted, kFamilies>& sorted,
                                const std::vector<Family>& families) {
  std::vector<FileJob> jobs;
  const std::size_t total = set.bytes();
  for (const Family family : families) {
    const std::size_t bytes = set.part(family).arena.size();
    const bool halve = bytes >= kSplitBytesMin && bytes * 2 > total;
    Sorted& part = sorted[static_cast<std::size_t>(family)];
    const std::vector<std::size_t> cuts = part.split(halve ? 2 : 1);
    for (std::size_t c = 0; c + 1 < cuts.size(); ++c) {
      FileJob job;
      job.family = family;
      job.sorted = &part;
      job.from = cuts[c];
      job.to = cuts[c + 1];
      job.bytes = bytes / (cuts.size() - 1);
      jobs.push_back(std::move(job));
    }
  }
  std::stable_sort(jobs.begin(), jobs.end(),
                   [](const FileJob& a, const FileJob& b) { return a.bytes > b.bytes; });
  return jobs;
}

}  // namespace

tl::unexpected<Error> Store::Impl::write_failed(const rocksdb::Status& status, std::string what) {
  tl::unexpected<Error> error = store_error(status, std::move(what), dir);
  write_error = error.value();
  return error;
}

// After a failed write (a full disk) RocksDB refuses all writes until it is told to go on. A flush
// or compaction that failed in the background stops no write at first: it gets another try now and
// then, and only if a write fails too is that an error.
Result<void> Store::Impl::resume() {
  if (write_error) {
    resumed_us = monotonic_us();
    if (const rocksdb::Status status = db->Resume(); !status.ok()) {
      return store_error(status, "commit", dir);
    }
    if (files.log_failed->load(std::memory_order_relaxed)) {
      return fail(ErrorCode::io, "commit", dir, "a write failed, and no new log could be begun",
                  "free some space if there is none, and start bounced again; nothing is lost");
    }
    write_error.reset();
    errors->seen.store(false, std::memory_order_relaxed);
  } else if (errors->seen.load(std::memory_order_relaxed) &&
             monotonic_us() - resumed_us > kResumeIntervalUs) {
    resumed_us = monotonic_us();
    errors->seen.store(false, std::memory_order_relaxed);
    if (!db->Resume().ok()) errors->seen.store(true, std::memory_order_relaxed);
  }
  return {};
}

// A log that a write failed on must never be written to again: RocksDB (7.8) asserts it, and the
// program is gone. Resume() leaves such a log by emptying memory into files, which begins a new one
// -- but only where there is something in memory. So there always is, by the time of a write: a
// deletion of nothing, kept out of the log itself.
void Store::Impl::keep_in_memory() {
  const std::string& entries = rocksdb::DB::Properties::kNumEntriesActiveMemTable;
  std::uint64_t number = 0;
  for (rocksdb::ColumnFamilyHandle* const h : {handle(Family::positions), handles.back()}) {
    if (db->GetIntProperty(h, entries, &number) && number > 0) return;
  }
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  (void)db->Delete(options, handles.back(), "kept");
}

rocksdb::Status Store::Impl::write_log(rocksdb::WriteBatch& batch,
                                       const rocksdb::WriteOptions& options) {
  keep_in_memory();
  return db->Write(options, &batch);
}

Result<void> Store::Impl::commit_small(const WriteSet& set, bool sync) {
  stop_counting();
  rocksdb::WriteBatch batch(kBatchHeaderBytes + set.bytes() + kBatchRecordBytes * set.records());
  for (std::size_t f = 0; f < kFamilies; ++f) {
    const auto family = static_cast<Family>(f);
    const WriteSet::Part& part = set.part(family);
    if (part.entries.empty()) continue;
    // In key order: each insert into the memtable starts where the last one ended.
    sorted[f].assign(part);
    rocksdb::Status status;
    sorted[f].visit(0, sorted[f].buckets(), [&](const WriteSet::Entry& entry) {
      status = entry.erase ? batch.Delete(handle(family), slice(entry.key()))
                           : batch.Put(handle(family), slice(entry.key()), slice(entry.value()));
      return status.ok();
    });
    if (!status.ok()) return store_error(status, "commit", dir);
  }
  rocksdb::WriteOptions options;
  options.sync = sync;
  options.memtable_insert_hint_per_batch = true;
  const std::lock_guard lock(log_mutex);
  if (auto resumed = resume(); !resumed) return resumed;
  const rocksdb::Status status = write_log(batch, options);
  if (!status.ok()) return write_failed(status, "commit");
  return {};
}

Result<void> Store::Impl::commit_large(const WriteSet& set) {
  {
    const std::lock_guard lock(log_mutex);
    if (auto resumed = resume(); !resumed) return resumed;
    if (const rocksdb::Status synced = db->FlushWAL(true); !synced.ok()) {
      return write_failed(synced, "commit");
    }
  }
  std::vector<Family> families;
  for (std::size_t f = 0; f < kFamilies; ++f) {
    if (!set.part(static_cast<Family>(f)).entries.empty()) families.push_back(Family(f));
  }
  for (const Family family : families) {
    sorted[static_cast<std::size_t>(family)].assign(set.part(family));
  }
  std::vector<FileJob> jobs = plan_files(set, sorted, families);
  for (FileJob& job : jobs) {
    job.path = ingest_dir + "/" + std::to_string(next_file++) + ".sst";
  }
  run_on_two(jobs.size(), [&](std::size_t i) {
    FileJob& job = jobs[i];
    const rocksdb::Options options =
        cut_file_options(db_options, family_options(job.family, cache));
    write_file(options, handle(job.family), job);
  });

  rocksdb::Status status;
  std::vector<rocksdb::IngestExternalFileArg> arguments;
  for (const Family family : families) {
    rocksdb::IngestExternalFileArg argument;
    argument.column_family = handle(family);
    argument.options.move_files = true;
    argument.options.write_global_seqno = false;  // it stays in the MANIFEST: no second write
    argument.options.verify_file_checksum = false;
    for (const FileJob& job : jobs) {
      if (job.family != family) continue;
      if (!job.status.ok()) status = job.status;
      if (job.written) argument.external_files.push_back(job.path);
    }
    std::sort(argument.external_files.begin(), argument.external_files.end());
    if (!argument.external_files.empty()) arguments.push_back(std::move(argument));
  }
  const bool files_written = status.ok();
  if (files_written) status = db->IngestExternalFiles(arguments);
  if (status.ok()) return {};
  for (const FileJob& job : jobs) (void)::unlink(job.path.c_str());
  if (!files_written) return store_error(status, "commit", dir);  // RocksDB has seen nothing
  const std::lock_guard lock(log_mutex);
  return write_failed(status, "commit");
}

Result<void> Store::commit(const WriteSet& set, bool sync_wanted) {
  Impl& impl = *impl_;
  if (impl.read_only) {
    return fail(ErrorCode::usage, "commit", impl.dir, "the store was opened read-only");
  }
  const std::size_t records = set.records();
  if (records == 0) return sync_wanted ? sync() : Result<void>();
  const std::int64_t begun = monotonic_us();
  const bool small = impl.errors->stopped.load(std::memory_order_relaxed) ||
                     (records < limits::kSmallCutRecords && set.bytes() < kSmallCutBytes);
  auto done = small ? impl.commit_small(set, sync_wanted) : impl.commit_large(set);
  if (!done) return done;
  Impl::Counters& c = impl.counters;
  (small ? c.commits_small : c.commits_large).fetch_add(1, std::memory_order_relaxed);
  if (!small || sync_wanted) c.syncs.fetch_add(1, std::memory_order_relaxed);
  c.records.fetch_add(records, std::memory_order_relaxed);
  c.bytes.fetch_add(set.bytes(), std::memory_order_relaxed);
  c.commit_us.fetch_add(static_cast<std::uint64_t>(monotonic_us() - begun),
                        std::memory_order_relaxed);
  return done;
}

Result<void> Store::put_now(const WriteSet& set) {
  Impl& impl = *impl_;
  rocksdb::WriteBatch batch(kBatchHeaderBytes + set.bytes() + kBatchRecordBytes * set.records());
  for (std::size_t f = 0; f < kFamilies; ++f) {
    const auto family = static_cast<Family>(f);
    for (const WriteSet::Entry& entry : set.part(family).entries) {
      const rocksdb::Status status =
          entry.erase ? batch.Delete(impl.handle(family), slice(entry.key()))
                      : batch.Put(impl.handle(family), slice(entry.key()), slice(entry.value()));
      if (!status.ok()) return store_error(status, "put", impl.dir);
    }
  }
  rocksdb::WriteOptions options;
  options.sync = true;
  const std::lock_guard lock(impl.log_mutex);
  if (impl.write_error && monotonic_us() - impl.resumed_us < kPutResumeIntervalUs) {
    return tl::unexpected(*impl.write_error);
  }
  if (auto resumed = impl.resume(); !resumed) return resumed;
  const rocksdb::Status status = impl.write_log(batch, options);
  if (!status.ok()) return impl.write_failed(status, "put");
  impl.counters.syncs.fetch_add(1, std::memory_order_relaxed);
  return {};
}

Result<void> Store::sync() {
  if (impl_->read_only) return {};
  const std::lock_guard lock(impl_->log_mutex);
  if (auto resumed = impl_->resume(); !resumed) return resumed;
  if (const rocksdb::Status status = impl_->db->SyncWAL(); !status.ok()) {
    return impl_->write_failed(status, "sync");
  }
  impl_->counters.syncs.fetch_add(1, std::memory_order_relaxed);
  return {};
}

}  // namespace bounced::store
