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

/// RocksDB's log. RocksDB flushes it at the end of each record: what lies behind the last flush
/// when a write fails is a piece of one, and goes. RocksDB keeps the piece, and writes it once more
/// when it resumes: by then nobody wants it, and a place on a disk that may still be full must not
/// be what resuming depends on.
class LogFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  LogFile(std::unique_ptr<rocksdb::FSWritableFile>&& target,
          std::shared_ptr<std::atomic<bool>> failed)
      : FSWritableFileOwnerWrapper(std::move(target)), failed_(std::move(failed)) {}

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
    if (!cut_) whole_ = size_;
    return noted(target()->Flush(options, debug));
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return noted(target()->Sync(options, debug));
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return noted(target()->Fsync(options, debug));
  }
  IOStatus RangeSync(std::uint64_t offset, std::uint64_t size, const IOOptions& options,
                     IODebugContext* debug) override {
    return noted(target()->RangeSync(offset, size, options, debug));
  }

 private:
  IOStatus appended(IOStatus status, std::size_t size) {
    if (status.ok()) {
      size_ += size;
      return status;
    }
    cut_ = true;
    target()->Truncate(whole_, IOOptions(), nullptr).PermitUncheckedError();
    return noted(std::move(status));
  }
  IOStatus noted(IOStatus status) {
    if (!status.ok()) failed_->store(true, std::memory_order_relaxed);
    return status;
  }

  const std::shared_ptr<std::atomic<bool>> failed_;
  std::uint64_t size_ = 0, whole_ = 0;  ///< written; of whole records
  bool cut_ = false;                    ///< nothing is added any more
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
      *file = std::make_unique<LogFile>(std::move(*file), log_failed_);
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
