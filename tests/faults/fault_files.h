// FaultFiles: the files of a store on a disk that fills up, lies, or loses its power.
//
// It stands between RocksDB and the machine's own files, and keeps beside them what a power loss
// would leave: of each file the bytes that were synced, of each directory the entries that were
// synced. The model is the strict one of POSIX: to sync a file makes neither its name nor its
// rename durable, and what was deleted is there again until its directory has been synced.
#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace bounced::test {

enum class Fault : std::uint8_t {
  none,
  no_space,     ///< bytes, new files: ENOSPC; half of the bytes are in the file
  short_write,  ///< half of the bytes, then EIO
  sync_error,   ///< fsync, of files and directories: EIO, and nothing is durable
  sync_space,   ///< the same, ENOSPC: where blocks are found late
  power_loss,   ///< an image of what is durable is made, and everything fails from then on
};
inline constexpr int kFaults = 6;
const char* name_of(Fault fault);

/// Thread safety: every method.
class FaultFiles : public rocksdb::FileSystemWrapper {
 public:
  /// `root`: a directory; what lies under it is durable. Other directories are left alone.
  explicit FaultFiles(std::string root);
  ~FaultFiles() override;
  const char* Name() const override { return "faults"; }

  /// Of the operations from now on that can meet the fault, `count` do, but for the first `spared`.
  /// An image of a power loss goes to `image`, which is made.
  void arm(Fault fault, std::uint64_t spared, std::uint64_t count = UINT64_MAX,
           std::string image = {});
  /// From now on only files whose names end so can meet a fault; empty: all.
  void restrict_to(std::string name_end);
  /// Nothing fails from now on (but after a power loss).
  void heal();
  /// Operations so far that write, sync, or change a directory.
  [[nodiscard]] std::uint64_t operations() const;
  /// How many of them failed on purpose.
  [[nodiscard]] std::uint64_t failures() const;

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReopenWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* file,
                                       rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewDirectory(const std::string& name, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* directory,
                                 rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& name, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus LinkFile(const std::string& from, const std::string& to,
                             const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override;

 private:
  friend class FaultFile;
  friend class FaultDirectory;
  /// One file, whatever its names.
  struct Inode {
    std::string path;             ///< a name under which its bytes can be read
    std::uint64_t size = 0;       ///< written
    std::uint64_t size_safe = 0;  ///< durable
  };
  using Entries = std::map<std::string, std::shared_ptr<Inode>>;  ///< path -> file
  enum class Kind : std::uint8_t { bytes, sync, entry };

  /// Counts one operation; what it must answer instead of being done. Holds no lock afterwards.
  rocksdb::IOStatus meet(Kind kind, const std::string& name);
  [[nodiscard]] bool is_met_by(Kind kind, const std::string& name) const;
  [[nodiscard]] bool watches(const std::string& name) const;
  /// Keeps the bytes of a name that is about to go, where a power loss would bring it back.
  void keep_bytes(const std::string& name);
  void sync_directory(const std::string& name);
  void make_image();

  const std::string root_, graveyard_;
  mutable std::mutex mutex_;
  Entries now_, safe_;
  Fault fault_ = Fault::none;
  std::uint64_t spared_ = 0, left_ = 0, operations_ = 0, failures_ = 0, buried_ = 0;
  std::string image_, name_end_;
  bool powerless_ = false;
};

}  // namespace bounced::test
