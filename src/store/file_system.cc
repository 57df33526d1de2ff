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

class Files : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "bounced"; }

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    const std::string_view last = std::string_view(name).substr(name.rfind('/') + 1);
    if (last.substr(0, 8) == "OPTIONS-") return rocksdb::IOStatus::NotSupported("not kept", name);
    rocksdb::IOStatus opened = target()->NewWritableFile(name, options, file, debug);
    const std::string directory = std::filesystem::path(name).parent_path().filename();
    if (opened.ok() && directory == kIngestDirectory) {
      *file = std::make_unique<CutFile>(std::move(*file));
    }
    return opened;
  }
};

}  // namespace

rocksdb::Env* file_system() {
  // Never destroyed: RocksDB's background threads may outlive everything else.
  static rocksdb::Env* const env =
      rocksdb::NewCompositeEnv(std::make_shared<Files>(rocksdb::FileSystem::Default())).release();
  return env;
}

}  // namespace bounced::store
