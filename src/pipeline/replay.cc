// Replays: which files one reads, as lanes of a group.
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>
#include <thread>

#include "base/hash.h"
#include "pipeline/engine_impl.h"

namespace bounced::pipeline {

namespace {

using Readers = std::vector<std::unique_ptr<ingest::FileReader>>;

/// A plain file that ends within a line is given so much time to show that it is written now.
constexpr std::int64_t kSettleUs = kSecondUs;

// The anchor of stamps without a year: when the file was last written; stdin: now.
std::int64_t modified_us(const std::string& path) {
  struct stat st {};
  if (path != "-" && ::stat(path.c_str(), &st) == 0) {
    return static_cast<std::int64_t>(st.st_mtim.tv_sec) * kSecondUs + st.st_mtim.tv_nsec / 1000;
  }
  return system_clock().now_us();
}

std::uint64_t bytes_read(const ingest::FileReader& reader) {
  return std::min(reader.compressed_offset(), reader.file_bytes());
}

}  // namespace

/// One at a time: what a replay has read, the next one finds in its positions. False: called off.
bool Engine::Impl::take_replay_turn(const std::function<bool()>& cancelled) {
  for (;; std::this_thread::sleep_for(std::chrono::milliseconds(10))) {
    const std::lock_guard lock(mutex);
    if (stopping || (cancelled && cancelled())) return false;
    const std::shared_ptr<Replay::Impl> last = last_replay.lock();
    if (replay_opens || (last != nullptr && !last->is_done())) continue;
    replay_opens = true;
    return true;
  }
}

/// The files of a replay that are not being read already, by a tail or by the replay itself.
Readers Engine::Impl::open_replay(const ReplayConfig& config, Replay::Impl& replay) {
  ingest::PositionBook known;
  known.load(book.all());
  {
    const std::lock_guard lock(mutex);
    for (const auto& tail : tails) tail->add_positions(known);
  }
  Readers readers;
  std::set<std::string> named;
  // The caller may be gone when the feeder asks.
  const auto opens = std::make_shared<std::atomic<bool>>(true);
  for (const std::string& path : config.files) {
    std::error_code unknown;
    const auto canonical = std::filesystem::canonical(path, unknown);
    if (!unknown && !named.insert(canonical.string()).second) continue;  // the same file twice
    ingest::FileOptions file_options;
    file_options.source_name = path == "-" ? "stdin" : path.substr(path.rfind('/') + 1);
    file_options.source = intern(store::Dictionary::source, file_options.source_name);
    file_options.format = config.format;
    file_options.fresh = config.fresh || store == nullptr;
    file_options.settle_us = kSettleUs;
    file_options.cancelled = [this, opens, cancelled = config.cancelled] {
      return stopping || (*opens && cancelled && cancelled());
    };
    auto reader = ingest::FileReader::open(path, file_options, known, book);
    if (!reader) {
      replay.add_error(reader.error());
      continue;
    }
    if (is_left_out(**reader, replay)) continue;
    readers.push_back(std::move(*reader));
  }
  *opens = false;
  return readers;
}

/// Tells why, if so.
bool Engine::Impl::is_left_out(const ingest::FileReader& reader, Replay::Impl& replay) {
  if (reader.position().file == 0) return false;
  if (reader.beyond_end()) {
    replay.add_notice(reader.path() +
                      ": it is shorter than what was applied of it before: nothing was read");
    return true;
  }
  const std::lock_guard lock(mutex);
  for (const auto& tail : tails) {
    if (!tail->follows(reader.position())) continue;
    replay.add_notice(reader.path() + ": the daemon follows it, and reads what is new in it");
    return true;
  }
  return false;
}

Result<Replay> Engine::replay(const ReplayConfig& config) {
  auto zone = TimeResolver::make(config.timezone, {});
  if (!zone) return tl::unexpected(zone.error());
  if (!impl_->take_replay_turn(config.cancelled)) {
    return fail(ErrorCode::cancelled, "replay", "engine", "stopped before it began");
  }
  struct Turn {
    Impl& engine;
    ~Turn() {
      const std::lock_guard lock(engine.mutex);
      engine.replay_opens = false;
    }
  };
  const Turn turn{*impl_};
  Replay replay;
  replay.impl_ = std::make_shared<Replay::Impl>();
  impl_->begin_replay(config, replay.impl_);
  return replay;
}

void Engine::Impl::begin_replay(const ReplayConfig& config,
                                const std::shared_ptr<Replay::Impl>& replay) {
  Replay::Impl& impl = *replay;
  Readers readers = open_replay(config, impl);
  const std::vector<std::size_t> copy_of = ingest::find_copies(readers);
  for (std::size_t i = readers.size(); i-- > 0;) {
    if (copy_of[i] == ingest::kNoCopy) continue;
    impl.add_notice(readers[i]->path() + ": it holds nothing that " + readers[copy_of[i]]->path() +
                    " does not: read once");
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < readers.size(); ++i) {
    if (copy_of[i] == ingest::kNoCopy) readers[kept++] = std::move(readers[i]);
  }
  readers.resize(kept);
  impl.files = readers.size();
  // One block for each worker, and one each that is read, correlated and applied; every overlapping
  // file needs one of its own, and many files get smaller ones. No more than that: what is in
  // flight should stay in the last-level cache (measured: 4 blocks cost 10 % less CPU than 8, and 8
  // cost 8 % less than 32).
  const std::size_t pool_size = std::max(workers.size() + 3, 2 * readers.size());
  impl.pool = std::make_unique<BlockPool>(
      pool_size, readers.size() > 64 ? limits::kBlockBytes / 4 : limits::kBlockBytes);
  for (auto& reader : readers) {
    impl.bytes_total += reader->file_bytes();
    impl.bytes_read += bytes_read(*reader);
    impl.lanes.push_back(add_lane(config, *reader, impl, readers.size() == 1));
  }
  const std::lock_guard lock(mutex);
  if (stopped) {
    return impl.finish(Error{ErrorCode::cancelled, "replay", "engine", "stopping", ""});
  }
  if (replay_feeder.joinable()) replay_feeder.join();  // of the replay before, which is over
  replays.push_back(replay);
  last_replay = replay;
  replay_feeder =
      std::thread([this, replay, moved = std::make_shared<Readers>(std::move(readers))] {
        feed_replay(replay, std::move(*moved));
      });
}

std::shared_ptr<LaneInfo> Engine::Impl::add_lane(const ReplayConfig& config,
                                                 const ingest::FileReader& reader,
                                                 Replay::Impl& replay, bool alone) {
  auto lane = std::make_shared<LaneInfo>();
  const ingest::Position& position = reader.position();
  FileInfo info;
  info.path = reader.path();
  info.source = position.source;
  info.time = position.time;
  if (info.time.anchor_us == 0) info.time.anchor_us = modified_us(reader.path());
  // Probed once, by the file's head: a block may begin with any noise.
  lane->format = config.format >= 0 ? config.format : parse::probe_format(reader.head());
  lane->timezone = config.timezone;
  lane->year = reader.resumed() ? 0 : config.year;
  lane->group = replay.group;
  lane->rank = hash64(reader.head().substr(0, limits::kHeadHashBytes));
  TimeResolver::State unread;  // as it was before the file's first line
  unread.anchor_us = info.time.anchor_us;
  lane->begins_us =
      first_time(context, reader.head(), lane->format, config.timezone, unread, config.year);
  lane->first_us = lane->begins_us;
  if (reader.resumed()) {
    lane->first_us = position.time.last_us != 0 ? position.time.last_us : INT64_MIN;
    if (reader.offset() != 0 && reader.offset() >= reader.file_bytes()) ++replay.files_known;
  }
  lane->active = alone;
  registry.set_file(position.file, std::move(info));
  registry.add(lane);
  return lane;
}

Replay::Progress Replay::progress() const {
  Progress p;
  p.bytes_total = impl_->bytes_total.load();
  p.bytes_read = impl_->bytes_read.load();
  p.files_done = impl_->files_done.load();
  p.files_known = impl_->files_known.load();
  p.files = impl_->files;
  const std::lock_guard lock(impl_->mutex);
  p.done = impl_->done;
  return p;
}

Result<void> Replay::wait() {
  std::unique_lock lock(impl_->mutex);
  impl_->finished.wait(lock, [&] { return impl_->done; });
  if (impl_->fatal) return tl::unexpected(*impl_->fatal);
  if (!impl_->errors.empty()) return tl::unexpected(impl_->errors.front());
  return {};
}

bool Replay::wait_for(std::int64_t timeout_us) const {
  std::unique_lock lock(impl_->mutex);
  return impl_->finished.wait_for(lock, std::chrono::microseconds(timeout_us),
                                  [&] { return impl_->done; });
}

std::vector<Error> Replay::errors() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->errors;
}

std::vector<std::string> Replay::notices() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->notices;
}

}  // namespace bounced::pipeline
