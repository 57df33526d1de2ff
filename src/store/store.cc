#include "store/store.h"

#include <fcntl.h>
#include <rocksdb/iterator.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <thread>

#include "store/families.h"
#include "store/file_system.h"
#include "store/status.h"
#include "store/store_impl.h"

namespace bounced::store {
namespace {

namespace fs = std::filesystem;
using rocksdb::Slice;

constexpr std::size_t kBlockCacheBytes = std::size_t{64} << 20;
constexpr std::string_view kVersionKey = "store.version";
constexpr std::string_view kSecretKey = "store.secret";
constexpr std::string_view kFoldKey = "store.fold_local_part";
constexpr const char* kWhat = "open store";

Slice slice(std::string_view bytes) {
  return {bytes.data(), bytes.size()};
}
std::string_view view(const Slice& bytes) {
  return {bytes.data(), bytes.size()};
}

/// Makes `path` (0750: it names people's addresses) and its new entry in the parent durable.
Result<void> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0750) != 0) {
    const int number = errno;
    std::error_code ignored;
    if (number == EEXIST && fs::is_directory(path, ignored)) return {};
    return system_error(number, "create directory", path);
  }
  const std::string parent = fs::path(path).parent_path().string();
  const int fd = ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    (void)::fsync(fd);
    ::close(fd);
  }
  return {};
}

Result<void> make_directories(const std::string& path) {
  fs::path so_far;
  for (const fs::path& part : fs::path(path).lexically_normal()) {
    so_far /= part;
    if (part.empty() || part == "/" || part == "." || part == "..") continue;
    if (auto made = make_directory(so_far.string()); !made) return made;
  }
  return {};
}

/// First key behind all keys with `prefix`; false when there is none.
bool successor(std::string_view prefix, std::string& out) {
  out.assign(prefix);
  while (!out.empty() && static_cast<unsigned char>(out.back()) == 0xff) out.pop_back();
  if (out.empty()) return false;
  out.back() = static_cast<char>(static_cast<unsigned char>(out.back()) + 1);
  return true;
}

/// Threads to open table files with. RocksDB starts them for each family, even where there is
/// nothing to open: 195 threads of its default 16 for a small store.
int opening_threads(const std::string& db_dir) {
  constexpr int kFilesPerThread = 32, kThreadsMax = 16;
  std::error_code ignored;
  int files = 0;
  for (const auto& entry : fs::directory_iterator(db_dir, ignored)) {
    files += entry.path().extension() == ".sst" ? 1 : 0;
  }
  return std::clamp(files / kFilesPerThread, 1, kThreadsMax);
}

/// An iterator over one prefix; the bounds it points at live with it.
struct PrefixScan {
  PrefixScan(rocksdb::DB& db, rocksdb::ColumnFamilyHandle* handle, std::string_view prefix)
      : lower_bytes(prefix) {
    rocksdb::ReadOptions options;
    lower = slice(lower_bytes);
    if (!prefix.empty()) options.iterate_lower_bound = &lower;
    if (successor(prefix, upper_bytes)) {
      upper = slice(upper_bytes);
      options.iterate_upper_bound = &upper;
    }
    // A short prefix reads a good part of the family: it would only wash the cache out.
    options.fill_cache = prefix.size() >= sizeof(std::uint64_t);
    iterator.reset(db.NewIterator(options, handle));
  }
  std::string lower_bytes, upper_bytes;
  Slice lower, upper;
  std::unique_ptr<rocksdb::Iterator> iterator;
};

}  // namespace

Store::Store() : impl_(std::make_unique<Impl>()) {}

Store::~Store() {
  // Not after a failed write: RocksDB asserts that such a log is left alone.
  if (!impl_->db || impl_->read_only) return;
  const std::lock_guard lock(impl_->log_mutex);
  if (!impl_->write_error && !impl_->files.log_failed->load()) (void)impl_->db->SyncWAL();
}

Store::Impl::~Impl() {
  if (!db) return;
  for (rocksdb::ColumnFamilyHandle* h : handles) {
    if (h != nullptr) (void)db->DestroyColumnFamilyHandle(h);
  }
  (void)db->Close();
}

Result<std::unique_ptr<Store>> Store::open(const std::string& dir, const OpenOptions& options) {
  std::unique_ptr<Store> store(new Store());
  Impl& impl = *store->impl_;
  impl.dir = dir;
  impl.db_dir = (fs::path(dir) / "db").string();
  impl.ingest_dir = (fs::path(dir) / kIngestDirectory).string();
  impl.read_only = options.read_only;
  std::error_code ignored;
  if (!fs::exists(fs::path(impl.db_dir) / "CURRENT", ignored)) {
    if (options.read_only || !options.create) {
      return fail(ErrorCode::not_found, kWhat, dir, "there is no store here",
                  "give the data directory with --data, or make one with `bounced replay FILE`");
    }
    for (const std::string& path : {dir, impl.db_dir}) {
      if (auto made = make_directories(path); !made) return tl::unexpected(made.error());
    }
  }
  if (auto opened = impl.open_database(options); !opened) return tl::unexpected(opened.error());
  if (auto loaded = impl.load_meta(options); !loaded) return tl::unexpected(loaded.error());
  if (!options.read_only) {
    // Only now: the lock is ours, so nobody else's files lie there.
    if (auto made = make_directories(impl.ingest_dir); !made) return tl::unexpected(made.error());
    if (auto removed = impl.remove_leftovers(); !removed) return tl::unexpected(removed.error());
  }
  return store;
}

// A newer version may have families that this one does not know; RocksDB would then refuse with
// words of its own, so the version is read first, through a read-only view of `meta` alone.
Result<void> Store::Impl::check_families(std::vector<std::string>& present) const {
  const rocksdb::Status listed = rocksdb::DB::ListColumnFamilies(db_options, db_dir, &present);
  if (!listed.ok()) return {};  // a new store, or damage that opening will name
  bool unknown = false;
  for (const std::string& name : present) {
    bool known = name == rocksdb::kDefaultColumnFamilyName;
    for (std::size_t f = 0; f < kFamilies; ++f) known = known || name == family_name(Family(f));
    unknown = unknown || !known;
  }
  if (!unknown) return {};
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors = {
      {rocksdb::kDefaultColumnFamilyName, {}}, {std::string(family_name(Family::meta)), {}}};
  std::vector<rocksdb::ColumnFamilyHandle*> some;
  rocksdb::DB* raw = nullptr;
  std::string version = "?";
  if (rocksdb::DB::OpenForReadOnly(database_options(true), db_dir, descriptors, &some, &raw).ok()) {
    std::unique_ptr<rocksdb::DB> owner(raw);
    (void)raw->Get(rocksdb::ReadOptions(), some[1], slice(kVersionKey), &version);
    for (rocksdb::ColumnFamilyHandle* h : some) (void)raw->DestroyColumnFamilyHandle(h);
  }
  return fail(ErrorCode::data, kWhat, dir,
              "it was written by a newer bounced (store version " + version +
                  ", this one reads up to " + std::to_string(kStoreVersion) + ")",
              "use that newer bounced, or another --data directory");
}

Result<void> Store::Impl::open_database(const OpenOptions& options) {
  cache = rocksdb::NewLRUCache(kBlockCacheBytes, 2);
  db_options = database_options(read_only);
  files = open_files(options.files);
  db_options.env = files.env.get();
  db_options.max_file_opening_threads = opening_threads(db_dir);
  if (!read_only) db_options.listeners.push_back(errors);
  std::vector<std::string> present;
  if (auto checked = check_families(present); !checked) return checked;
  // An older version's store lacks the families that are new since: who writes makes them, who only
  // reads finds nothing there.
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  std::vector<std::size_t> missing;
  for (std::size_t f = 0; f < kFamilies; ++f) {
    const auto family = static_cast<Family>(f);
    const std::string name(family_name(family));
    if (read_only && std::find(present.begin(), present.end(), name) == present.end()) {
      missing.push_back(f);
    } else {
      descriptors.emplace_back(name, family_options(family, cache));
    }
  }
  if (options.compact_later) compactions_held = std::make_unique<OccupiedThread>(*db_options.env);
  descriptors.emplace_back(rocksdb::kDefaultColumnFamilyName, rocksdb::ColumnFamilyOptions());
  rocksdb::DB* raw = nullptr;
  rocksdb::Status status;
  // A reader beside a running daemon may see a file go between listing and opening: look again.
  for (int attempt = 0; attempt < (read_only ? 5 : 1); ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    status = read_only
                 ? rocksdb::DB::OpenForReadOnly(db_options, db_dir, descriptors, &handles, &raw)
                 : rocksdb::DB::Open(db_options, db_dir, descriptors, &handles, &raw);
    if (status.ok()) break;
  }
  if (!status.ok()) {
    handles.clear();
    return store_error(status, kWhat, dir);
  }
  db.reset(raw);
  for (const std::size_t f : missing) {
    handles.insert(handles.begin() + static_cast<std::ptrdiff_t>(f), nullptr);
  }
  // Compaction takes what the stages leave over; flushes, which free memory, stay as they are.
  if (!read_only) (void)rocksdb::Env::Default()->LowerThreadPoolCPUPriority(rocksdb::Env::LOW);
  return {};
}

Result<void> Store::Impl::load_meta(const OpenOptions& options) {
  const rocksdb::ReadOptions read;
  std::string version;
  if (handle(Family::meta) == nullptr) {
    return fail(ErrorCode::data, kWhat, dir, "the store was never completely created",
                "start `bounced run` or `bounced replay` on it once");
  }
  const rocksdb::Status status = db->Get(read, handle(Family::meta), slice(kVersionKey), &version);
  if (status.IsNotFound()) {
    if (!options.read_only) return create_meta(options);
    return fail(ErrorCode::data, kWhat, dir, "the store was never completely created",
                "start `bounced run` or `bounced replay` on it once");
  }
  if (!status.ok()) return store_error(status, kWhat, dir);
  std::uint32_t number = 0;
  const auto parsed = std::from_chars(version.data(), version.data() + version.size(), number);
  if (parsed.ec != std::errc() || number == 0) {
    return fail(ErrorCode::data, kWhat, dir, "its version cannot be read: \"" + version + "\"",
                "restore a backup");
  }
  if (number > kStoreVersion) {
    return fail(ErrorCode::data, kWhat, dir,
                "it was written by a newer bounced (store version " + version +
                    ", this one reads up to " + std::to_string(kStoreVersion) + ")",
                "use that newer bounced, or another --data directory");
  }
  if (number < kStoreVersionMin) {
    return fail(ErrorCode::data, kWhat, dir,
                "it was written by an older bounced (store version " + version +
                    ", this one reads from " + std::to_string(kStoreVersionMin) + ")",
                "use that older bounced, or replay the logs into another --data directory");
  }
  std::string bytes, fold;
  rocksdb::Status got = db->Get(read, handle(Family::meta), slice(kSecretKey), &bytes);
  if (got.ok()) got = db->Get(read, handle(Family::meta), slice(kFoldKey), &fold);
  if (!got.ok() || bytes.size() != secret.size() || (fold != "0" && fold != "1")) {
    return fail(ErrorCode::data, kWhat, dir, "its secret or its options are missing or damaged",
                "restore a backup: without the secret no address can be found");
  }
  std::copy(bytes.begin(), bytes.end(), secret.begin());
  fold_local_part = fold == "1";
  if (!options.read_only && fold_local_part != options.fold_local_part) {
    const char* stored = fold_local_part ? "true" : "false";
    return fail(ErrorCode::data, kWhat, dir,
                std::string("it was created with fold_local_part = ") + stored +
                    ", which cannot be changed afterwards",
                std::string("set fold_local_part = ") + stored + ", or use another data_dir");
  }
  return {};
}

Result<void> Store::Impl::create_meta(const OpenOptions& options) {
  if (!options.create) {
    return fail(ErrorCode::not_found, kWhat, dir, "there is no store here",
                "give the data directory with --data");
  }
  for (rocksdb::ColumnFamilyHandle* h : handles) {
    std::unique_ptr<rocksdb::Iterator> it(db->NewIterator(rocksdb::ReadOptions(), h));
    it->SeekToFirst();
    if (it->Valid()) {
      return fail(ErrorCode::data, kWhat, dir, "it holds data but no version", "restore a backup");
    }
  }
  secret = random_secret();
  fold_local_part = options.fold_local_part;
  WriteSet set;
  set.put(Family::meta, kVersionKey, std::to_string(kStoreVersion));
  set.put(Family::meta, kSecretKey, {reinterpret_cast<const char*>(secret.data()), secret.size()});
  set.put(Family::meta, kFoldKey, fold_local_part ? "1" : "0");
  return commit_small(set, true);
}

Result<void> Store::Impl::remove_leftovers() const {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(ingest_dir, error)) {
    if (entry.path().extension() != ".sst") continue;
    if (std::error_code failed; !fs::remove(entry.path(), failed) && failed) {
      return system_error(failed.value(), "remove leftover", entry.path().string());
    }
  }
  if (error) return system_error(error.value(), kWhat, ingest_dir);
  return {};
}

Result<std::optional<std::string>> Store::get(Family family, std::string_view key) const {
  if (impl_->handle(family) == nullptr) return std::optional<std::string>();
  std::string value;
  const rocksdb::Status status =
      impl_->db->Get(rocksdb::ReadOptions(), impl_->handle(family), slice(key), &value);
  if (status.ok()) return std::optional<std::string>(std::move(value));
  if (status.IsNotFound()) return std::optional<std::string>();
  return store_error(status, "read", impl_->dir);
}

Result<void> Store::multi_get(Family family, std::span<const std::string_view> keys,
                              std::vector<std::optional<std::string>>& values) const {
  constexpr std::size_t kChunk = 128;
  const std::size_t size = keys.size();
  if (impl_->handle(family) == nullptr) {
    values.assign(size, std::nullopt);
    return {};
  }
  values.resize(size);
  std::array<Slice, kChunk> slices;
  std::array<rocksdb::PinnableSlice, kChunk> found;
  std::array<rocksdb::Status, kChunk> statuses;
  const bool sorted = std::is_sorted(keys.begin(), keys.end());
  // Chunks read from one snapshot, so that the answer is one moment's.
  const rocksdb::Snapshot* snapshot = size > kChunk ? impl_->db->GetSnapshot() : nullptr;
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  Result<void> result;
  for (std::size_t at = 0; at < size && result; at += kChunk) {
    const std::size_t n = std::min(kChunk, size - at);
    for (std::size_t i = 0; i < n; ++i) slices[i] = slice(keys[at + i]);
    impl_->db->MultiGet(options, impl_->handle(family), n, slices.data(), found.data(),
                        statuses.data(), sorted);
    for (std::size_t i = 0; i < n; ++i) {
      std::optional<std::string>& value = values[at + i];
      if (statuses[i].ok()) {
        if (value) {
          value->assign(found[i].data(), found[i].size());
        } else {
          value.emplace(found[i].data(), found[i].size());
        }
      } else {
        value.reset();
        if (!statuses[i].IsNotFound()) result = store_error(statuses[i], "read", impl_->dir);
      }
      found[i].Reset();
    }
  }
  if (snapshot != nullptr) impl_->db->ReleaseSnapshot(snapshot);
  return result;
}

Result<void> Store::scan(
    Family family, std::string_view prefix, std::string_view from,
    const std::function<bool(std::string_view, std::string_view)>& visit) const {
  if (impl_->handle(family) == nullptr) return {};
  const PrefixScan range(*impl_->db, impl_->handle(family), prefix);
  rocksdb::Iterator& it = *range.iterator;
  const std::string_view start = std::max(prefix, from);
  if (start.empty()) {
    it.SeekToFirst();
  } else {
    it.Seek(slice(start));
  }
  for (; it.Valid(); it.Next()) {
    if (!visit(view(it.key()), view(it.value()))) return {};
  }
  if (!it.status().ok()) return store_error(it.status(), "read", impl_->dir);
  return {};
}

Result<void> Store::scan_reverse(
    Family family, std::string_view prefix,
    const std::function<bool(std::string_view, std::string_view)>& visit) const {
  if (impl_->handle(family) == nullptr) return {};
  const PrefixScan range(*impl_->db, impl_->handle(family), prefix);
  rocksdb::Iterator& it = *range.iterator;
  for (it.SeekToLast(); it.Valid(); it.Prev()) {
    if (!visit(view(it.key()), view(it.value()))) return {};
  }
  if (!it.status().ok()) return store_error(it.status(), "read", impl_->dir);
  return {};
}

const Secret& Store::secret() const {
  return impl_->secret;
}
bool Store::fold_local_part() const {
  return impl_->fold_local_part;
}
const std::string& Store::directory() const {
  return impl_->dir;
}

std::uint64_t Store::approximate_keys(Family family) const {
  std::uint64_t keys = 0;
  if (impl_->handle(family) == nullptr) return keys;
  (void)impl_->db->GetIntProperty(impl_->handle(family), rocksdb::DB::Properties::kEstimateNumKeys,
                                  &keys);
  return keys;
}

void Store::allow_compactions() const {
  if (impl_->compactions_held != nullptr) impl_->compactions_held->release();
}

void Store::wait_idle() {
  allow_compactions();  // what is held is pending for ever
  const auto busy = [this] {
    using P = rocksdb::DB::Properties;
    std::uint64_t n = 0;
    for (const std::string& property : {P::kNumRunningFlushes, P::kNumRunningCompactions}) {
      if (impl_->db->GetIntProperty(property, &n) && n > 0) return true;
    }
    for (rocksdb::ColumnFamilyHandle* h : impl_->handles) {
      if (h == nullptr) continue;
      for (const std::string& property : {P::kMemTableFlushPending, P::kCompactionPending}) {
        if (impl_->db->GetIntProperty(h, property, &n) && n > 0) return true;
      }
    }
    return false;
  };
  while (busy()) {
    // Work that stopped for want of space stays pending: not ours to wait for.
    if (impl_->errors->seen.load(std::memory_order_relaxed)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

Store::Stats Store::stats() const {
  const Impl::Counters& c = impl_->counters;
  Stats s;
  s.commits_small = c.commits_small.load(std::memory_order_relaxed);
  s.commits_large = c.commits_large.load(std::memory_order_relaxed);
  s.records = c.records.load(std::memory_order_relaxed);
  s.bytes = c.bytes.load(std::memory_order_relaxed);
  s.commit_us = c.commit_us.load(std::memory_order_relaxed);
  s.syncs = c.syncs.load(std::memory_order_relaxed);
  return s;
}

}  // namespace bounced::store
