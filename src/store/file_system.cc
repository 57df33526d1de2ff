#include "store/file_system.h"

#include <rocksdb/file_system.h>

#include <memory>
#include <string>
#include <string_view>

namespace bounced::store {
namespace {

class Files : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "bounced"; }

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    const std::string_view last = std::string_view(name).substr(name.rfind('/') + 1);
    if (last.substr(0, 8) == "OPTIONS-") return rocksdb::IOStatus::NotSupported("not kept", name);
    return target()->NewWritableFile(name, options, file, debug);
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
