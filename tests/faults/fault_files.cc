#include "faults/fault_files.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

namespace bounced::test {

namespace fs = std::filesystem;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

const char* name_of(Fault fault) {
  static const char* const kNames[kFaults] = {"none",       "no space",   "short write",
                                              "sync error", "sync space", "power loss"};
  return kNames[static_cast<int>(fault)];
}

/// Counts what is written, fails when it is time, and tells what is durable.
class FaultFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FaultFile(FaultFiles& files, std::string name, std::shared_ptr<FaultFiles::Inode> inode,
            std::unique_ptr<rocksdb::FSWritableFile>&& target)
      : FSWritableFileOwnerWrapper(std::move(target)),
        files_(files),
        name_(std::move(name)),
        inode_(std::move(inode)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    const IOStatus met = files_.meet(FaultFiles::Kind::bytes, name_);
    const std::size_t size = met.ok() ? data.size() : data.size() / 2;
    if (IOStatus done = target()->Append(Slice(data.data(), size), options, debug); !done.ok()) {
      return done;
    }
    const std::lock_guard lock(files_.mutex_);
    inode_->size += size;
    return met;
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&,
                  IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus Truncate(std::uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    IOStatus done = target()->Truncate(size, options, debug);
    const std::lock_guard lock(files_.mutex_);
    if (done.ok()) inode_->size = size;
    return done;
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return sync([&] { return target()->Sync(options, debug); });
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return sync([&] { return target()->Fsync(options, debug); });
  }

 private:
  template <class Real>
  IOStatus sync(const Real& real) {
    std::uint64_t size = 0;
    {
      const std::lock_guard lock(files_.mutex_);
      size = inode_->size;  // what is written meanwhile may not be in it
    }
    if (IOStatus met = files_.meet(FaultFiles::Kind::sync, name_); !met.ok()) return met;
    if (IOStatus done = real(); !done.ok()) return done;
    const std::lock_guard lock(files_.mutex_);
    inode_->size_safe = std::max(inode_->size_safe, size);
    return IOStatus::OK();
  }

  FaultFiles& files_;
  const std::string name_;
  const std::shared_ptr<FaultFiles::Inode> inode_;
};

class FaultDirectory : public rocksdb::FSDirectoryWrapper {
 public:
  FaultDirectory(FaultFiles& files, std::string name, std::unique_ptr<rocksdb::FSDirectory>&& real)
      : FSDirectoryWrapper(std::move(real)), files_(files), name_(std::move(name)) {}
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return FsyncWithDirOptions(options, debug, {});
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions&) override {
    if (IOStatus met = files_.meet(FaultFiles::Kind::sync, name_); !met.ok()) return met;
    if (IOStatus done = FSDirectoryWrapper::Fsync(options, debug); !done.ok()) return done;
    files_.sync_directory(name_);
    return IOStatus::OK();
  }

 private:
  FaultFiles& files_;
  const std::string name_;
};

FaultFiles::FaultFiles(std::string root)
    : FileSystemWrapper(FileSystem::Default()),
      root_(std::move(root)),
      graveyard_(root_ + ".buried") {
  fs::create_directories(root_);
  fs::create_directories(graveyard_);
  for (const auto& entry : fs::recursive_directory_iterator(root_)) {
    if (!entry.is_regular_file()) continue;
    const std::uint64_t size = entry.file_size();
    now_[entry.path().string()] = std::make_shared<Inode>(Inode{entry.path().string(), size, size});
  }
  safe_ = now_;
}

FaultFiles::~FaultFiles() {
  std::error_code ignored;
  fs::remove_all(graveyard_, ignored);
}

void FaultFiles::arm(Fault fault, std::uint64_t spared, std::uint64_t count, std::string image) {
  const std::lock_guard lock(mutex_);
  fault_ = fault;
  spared_ = spared;
  left_ = count;
  image_ = std::move(image);
}

void FaultFiles::restrict_to(std::string name_end) {
  const std::lock_guard lock(mutex_);
  name_end_ = std::move(name_end);
}

void FaultFiles::heal() {
  const std::lock_guard lock(mutex_);
  fault_ = Fault::none;
}

std::uint64_t FaultFiles::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

std::uint64_t FaultFiles::failures() const {
  const std::lock_guard lock(mutex_);
  return failures_;
}

bool FaultFiles::watches(const std::string& name) const {
  return name.size() > root_.size() && name.compare(0, root_.size(), root_) == 0 &&
         name[root_.size()] == '/';
}

bool FaultFiles::is_met_by(Kind kind, const std::string& name) const {
  if (name.size() < name_end_.size() ||
      name.compare(name.size() - name_end_.size(), name_end_.size(), name_end_) != 0) {
    return false;
  }
  switch (fault_) {
    case Fault::none:
      return false;
    case Fault::no_space:
      return kind != Kind::sync;
    case Fault::short_write:
      return kind == Kind::bytes;
    case Fault::sync_error:
    case Fault::sync_space:
      return kind == Kind::sync;
    case Fault::power_loss:
      return true;
  }
  return false;
}

IOStatus FaultFiles::meet(Kind kind, const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (powerless_) return IOStatus::IOError("no power", name);
  ++operations_;
  if (left_ == 0 || !is_met_by(kind, name)) return IOStatus::OK();
  if (spared_ > 0) {
    --spared_;
    return IOStatus::OK();
  }
  --left_;
  ++failures_;
  if (fault_ == Fault::power_loss) {
    make_image();
    powerless_ = true;
    return IOStatus::IOError("no power", name);
  }
  if (fault_ == Fault::no_space || fault_ == Fault::sync_space) {
    IOStatus full = IOStatus::NoSpace(name, "No space left on device");
    full.SetRetryable(true);  // as the machine's own files say it
    return full;
  }
  return IOStatus::IOError(name, "Input/output error");
}

IOStatus FaultFiles::NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                     std::unique_ptr<rocksdb::FSWritableFile>* file,
                                     IODebugContext* debug) {
  if (!watches(name)) return target()->NewWritableFile(name, options, file, debug);
  if (IOStatus met = meet(Kind::entry, name); !met.ok()) return met;
  keep_bytes(name);
  IOStatus opened = target()->NewWritableFile(name, options, file, debug);
  if (!opened.ok()) return opened;
  const std::lock_guard lock(mutex_);
  auto inode = std::make_shared<Inode>(Inode{name, 0, 0});
  now_[name] = inode;
  *file = std::make_unique<FaultFile>(*this, name, std::move(inode), std::move(*file));
  return opened;
}

IOStatus FaultFiles::ReopenWritableFile(const std::string& name,
                                        const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSWritableFile>* file,
                                        IODebugContext* debug) {
  IOStatus opened = target()->ReopenWritableFile(name, options, file, debug);
  if (!opened.ok() || !watches(name)) return opened;
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Inode>& inode = now_[name];
  if (inode == nullptr) inode = std::make_shared<Inode>(Inode{name, fs::file_size(name), 0});
  *file = std::make_unique<FaultFile>(*this, name, inode, std::move(*file));
  return opened;
}

IOStatus FaultFiles::NewDirectory(const std::string& name, const IOOptions& options,
                                  std::unique_ptr<rocksdb::FSDirectory>* directory,
                                  IODebugContext* debug) {
  IOStatus opened = target()->NewDirectory(name, options, directory, debug);
  if (!opened.ok() || !watches(name)) return opened;
  *directory = std::make_unique<FaultDirectory>(*this, name, std::move(*directory));
  return opened;
}

IOStatus FaultFiles::DeleteFile(const std::string& name, const IOOptions& options,
                                IODebugContext* debug) {
  if (!watches(name)) return target()->DeleteFile(name, options, debug);
  {
    const std::lock_guard lock(mutex_);
    if (powerless_) return IOStatus::IOError("no power", name);
  }
  keep_bytes(name);
  IOStatus done = target()->DeleteFile(name, options, debug);
  const std::lock_guard lock(mutex_);
  if (done.ok()) now_.erase(name);
  return done;
}

IOStatus FaultFiles::RenameFile(const std::string& from, const std::string& to,
                                const IOOptions& options, IODebugContext* debug) {
  if (!watches(from)) return target()->RenameFile(from, to, options, debug);
  if (IOStatus met = meet(Kind::entry, from); !met.ok()) return met;
  keep_bytes(to);
  IOStatus done = target()->RenameFile(from, to, options, debug);
  if (!done.ok()) return done;
  const std::lock_guard lock(mutex_);
  const auto moved = now_.find(from);
  if (moved == now_.end()) return done;
  moved->second->path = to;
  now_[to] = moved->second;
  now_.erase(from);
  return done;
}

IOStatus FaultFiles::LinkFile(const std::string& from, const std::string& to,
                              const IOOptions& options, IODebugContext* debug) {
  if (!watches(from)) return target()->LinkFile(from, to, options, debug);
  if (IOStatus met = meet(Kind::entry, from); !met.ok()) return met;
  IOStatus done = target()->LinkFile(from, to, options, debug);
  const std::lock_guard lock(mutex_);
  const auto linked = now_.find(from);
  if (done.ok() && linked != now_.end()) {
    linked->second->path = to;  // the other name is the one that goes
    now_[to] = linked->second;
  }
  return done;
}

void FaultFiles::keep_bytes(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto known = now_.find(name);
  if (known == now_.end() || known->second->path != name) return;
  const std::shared_ptr<Inode>& inode = known->second;
  const bool wanted = std::any_of(safe_.begin(), safe_.end(),
                                  [&](const auto& entry) { return entry.second == inode; });
  if (!wanted) return;
  std::string kept = graveyard_ + "/" + std::to_string(buried_++);
  if (::link(name.c_str(), kept.c_str()) == 0) inode->path = std::move(kept);
}

void FaultFiles::sync_directory(const std::string& name) {
  const auto inside = [&](const std::string& path) {
    return path.size() > name.size() && path.compare(0, name.size(), name) == 0 &&
           path[name.size()] == '/' && path.find('/', name.size() + 1) == std::string::npos;
  };
  const std::lock_guard lock(mutex_);
  for (auto it = safe_.begin(); it != safe_.end();) {
    if (inside(it->first) && now_.count(it->first) == 0) {
      if (it->second->path.compare(0, graveyard_.size(), graveyard_) == 0) {
        (void)::unlink(it->second->path.c_str());
      }
      it = safe_.erase(it);
    } else {
      ++it;
    }
  }
  for (const auto& [path, inode] : now_) {
    if (inside(path)) safe_[path] = inode;
  }
}

void FaultFiles::make_image() {
  if (image_.empty()) return;
  fs::create_directories(image_);
  for (const auto& entry : fs::recursive_directory_iterator(root_)) {
    if (entry.is_directory()) {
      fs::create_directories(fs::path(image_) / fs::relative(entry.path(), root_));
    }
  }
  for (const auto& [path, inode] : safe_) {
    const fs::path to = fs::path(image_) / fs::relative(path, root_);
    std::error_code gone;  // by others than RocksDB: durable, for all that is known
    fs::create_directories(to.parent_path());
    fs::copy_file(inode->path, to, gone);
    if (!gone) fs::resize_file(to, std::min<std::uintmax_t>(inode->size_safe, fs::file_size(to)));
  }
}

}  // namespace bounced::test
