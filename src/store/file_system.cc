#include "store/file_system.h"

#include <rocksdb/file_system.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace bounced::store {
namespace {

/// A file of a large cut: RocksDB links it into its own directory when it is taken in, and syncs it
/// there. To sync it before, when it is written, costs as much again and makes nothing safer.
class CutFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  using FSWritableFileOwnerWrapper::FSWritableFileOwnerWrapper;
  rocksdb::IOStatus Sync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    return rocksdb::IOStatus::OK();
  }
  rocksdb::IOStatus Fsync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    return rocksdb::IOStatus::OK();
  }
};

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

/// A file of records, of which one that was not taken in whole is taken off at once. Nothing is
/// added to it afterwards: RocksDB begins another one.
///
/// Its log: RocksDB flushes it at the end of each record; what lies behind the last flush when a
/// write fails is a piece of one. RocksDB keeps the piece and writes it once more when it resumes:
/// by then nobody wants it, and resuming must not depend on room for it.
///
/// Its MANIFEST: a record is whole when it is synced. When that fails RocksDB (7.8) deletes the
/// files that a large cut brought; a record that names them must not stay, or no start finds them.
class RecordFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  enum class Kind : std::uint8_t { log, manifest };
  /// `log_failed`: set when a log did not take a write or a sync.
  RecordFile(Kind kind, std::unique_ptr<rocksdb::FSWritableFile>&& target,
             std::shared_ptr<std::atomic<bool>> log_failed)
      : FSWritableFileOwnerWrapper(std::move(target)),
        kind_(kind),
        log_failed_(std::move(log_failed)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    if (cut_) return IOStatus::OK();
    return appended(target()->Append(data, options, debug), data.size());
  }
  IOStatus Append(const Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo& info, IODebugContext* debug) override {
    if (cut_) return IOStatus::OK();
    return appended(target()->Append(data, options, info, debug), data.size());
  }
  IOStatus Flush(const IOOptions& options, IODebugContext* debug) override {
    if (kind_ == Kind::log && !cut_) whole_ = size_;
    return noted(target()->Flush(options, debug));
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return synced(target()->Sync(options, debug));
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return synced(target()->Fsync(options, debug));
  }
  IOStatus RangeSync(std::uint64_t offset, std::uint64_t size, const IOOptions& options,
                     IODebugContext* debug) override {
    return noted(target()->RangeSync(offset, size, options, debug));
  }

 private:
  IOStatus appended(IOStatus status, std::size_t size) {
    if (status.ok()) {
      size_ += size;
    } else {
      cut();
    }
    return noted(std::move(status));
  }
  IOStatus synced(IOStatus status) {
    if (kind_ == Kind::manifest && !cut_) {
      if (status.ok()) {
        whole_ = size_;
      } else {
        cut();
      }
    }
    return noted(std::move(status));
  }
  void cut() {
    cut_ = true;
    target()->Truncate(whole_, IOOptions(), nullptr).PermitUncheckedError();
  }
  IOStatus noted(IOStatus status) {
    if (kind_ == Kind::log && !status.ok()) log_failed_->store(true, std::memory_order_relaxed);
    return status;
  }

  const Kind kind_;
  const std::shared_ptr<std::atomic<bool>> log_failed_;
  std::uint64_t size_ = 0, whole_ = 0;  ///< written; of whole records
  bool cut_ = false;
};

class StoreFiles : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "bounced"; }
  [[nodiscard]] const std::atomic<bool>* log_failed() const { return log_failed_.get(); }

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    const std::string_view last = std::string_view(name).substr(name.rfind('/') + 1);
    if (last.substr(0, 8) == "OPTIONS-") return rocksdb::IOStatus::NotSupported("not kept", name);
    rocksdb::IOStatus opened = target()->NewWritableFile(name, options, file, debug);
    const std::string directory = std::filesystem::path(name).parent_path().filename();
    if (opened.ok() && directory == kIngestDirectory) {
      *file = std::make_unique<CutFile>(std::move(*file));
    } else if (opened.ok() && last.size() > 4 && last.substr(last.size() - 4) == ".log") {
      log_failed_->store(false, std::memory_order_relaxed);
      *file = std::make_unique<RecordFile>(RecordFile::Kind::log, std::move(*file), log_failed_);
    } else if (opened.ok() && last.substr(0, 9) == "MANIFEST-") {
      *file =
          std::make_unique<RecordFile>(RecordFile::Kind::manifest, std::move(*file), log_failed_);
    }
    return opened;
  }

 private:
  const std::shared_ptr<std::atomic<bool>> log_failed_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace

Files open_files(std::shared_ptr<rocksdb::FileSystem> base) {
  if (base == nullptr) base = rocksdb::FileSystem::Default();
  const auto ours = std::make_shared<StoreFiles>(base);
  Files files;
  files.env = rocksdb::NewCompositeEnv(ours);
  files.log_failed = ours->log_failed();
  return files;
}

}  // namespace bounced::store
