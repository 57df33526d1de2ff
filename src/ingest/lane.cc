#include "ingest/lane.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "ingest/open_file.h"

namespace bounced::ingest {

namespace {

constexpr std::int64_t kBackoffMinUs = 100'000;
constexpr std::int64_t kBackoffMaxUs = 60'000'000;
/// A rotated file that never falls silent delays its successor by so many rotated_wait_us.
constexpr std::int64_t kOverdueWaits = 12;
/// Truncated or replaced under our hands so often in one step: come back later.
constexpr int kRetriesMax = 4;
constexpr std::size_t kTimesMax = 4096;

}  // namespace

void TailShared::sync_positions() {
  // Those of other sources, too: a log that was replayed by hand, or followed under another name,
  // is not counted again.
  const std::uint64_t version = book.version();
  if (version == synced) return;
  add_further(book, read);
  synced = version;
}

void TailShared::add_further(const PositionBook& positions, PositionBook& known) {
  std::map<std::uint64_t, std::uint64_t> offsets;
  known.visit([&offsets](const Position& position) { offsets[position.file] = position.offset; });
  std::vector<Position> further;
  positions.visit([&](const Position& position) {
    const auto found = offsets.find(position.file);
    if (found == offsets.end() || found->second < position.offset) further.push_back(position);
  });
  for (const Position& position : further) known.update(position);
}

std::optional<Holder> TailShared::holder(std::uint64_t key, const FileInfo& info) const {
  std::vector<Holder> holders;
  for (const auto& lane : lanes) lane->add_holders(info, holders);
  for (const Holder& found : holders) {
    if (found.file == key) return found;
  }
  return std::nullopt;
}

void TailShared::note_time(const Position& position, bool resumed, std::int64_t anchor_us) {
  TimeResolver::State state;
  if (resumed) state = position.time;
  if (state.anchor_us == 0) state.anchor_us = anchor_us;
  const std::lock_guard lock(mutex);
  // Keys only grow: the smallest belongs to the file that was opened first.
  if (times.size() >= kTimesMax) times.erase(times.begin());
  times.emplace(position.file, state);
}

Lane::Lane(std::string path, std::uint32_t number, bool first_scan, TailShared& shared)
    : path_(std::move(path)), number_(number), first_scan_(first_scan), shared_(shared) {}
Lane::~Lane() = default;

Lane::OpenFile* Lane::live() const {
  const auto found =
      std::find_if(files_.begin(), files_.end(), [](const FilePtr& file) { return file->at_path; });
  return found == files_.end() ? nullptr : found->get();
}

bool Lane::is_at_path(const FileInfo& info) const {
  const OpenFile* file = live();
  return file != nullptr && file->info.same_file(info);
}

Lane::Held Lane::held(const FileInfo& info) const {
  Held found;
  for (const FilePtr& file : files_) {
    if (!file->info.same_file(info)) continue;
    found.open = true;
    found.begun = found.begun || file->reader != nullptr;
  }
  return found;
}

void Lane::publish() {
  std::vector<Tail::FileState> states;
  for (const FilePtr& file : files_) {
    Tail::FileState state;
    state.path = path_;
    state.lane = number_;
    state.size = file->elsewhere ? 0 : file->info.size;
    state.device = file->info.device;
    state.inode = file->info.inode;
    state.rotated = !file->at_path;
    state.trouble = file->trouble;
    state.readable = file->trouble.empty();
    if (file->reader != nullptr) {
      state.file = file->reader->position().file;
      state.offset = file->reader->offset();
    }
    states.push_back(std::move(state));
  }
  if (!path_trouble_.empty()) {
    Tail::FileState state;
    state.path = path_;
    state.lane = number_;
    state.readable = false;
    state.trouble = path_trouble_;
    states.push_back(std::move(state));
  }
  const std::lock_guard lock(shared_.mutex);
  shared_.states[number_] = std::move(states);
}

void Lane::add_holders(const FileInfo& except, std::vector<Holder>& holders) const {
  for (const FilePtr& file : files_) {
    if (file->reader != nullptr && !file->info.same_file(except)) {
      holders.push_back(
          {file->reader->position().file, file->at_path, file->reader->input().plain()});
    }
  }
}

/// Compares the path with the file that was there; what is new there is opened at once, so that
/// two quick rotations lose nothing.
void Lane::look(std::int64_t now_us) {
  const bool first = !looked_;
  const FileInfo seen = first ? first_look(now_us) : FileInfo();
  OpenFile* last = live();
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0) {
    const int error = errno;
    if (last != nullptr && (error == ENOENT || error == ENOTDIR)) leave_path(*last, now_us);
    const std::string why = std::strerror(error);
    if (error != ENOENT && why != path_trouble_) shared_.add(&Tail::Stats::io_errors);
    path_trouble_ = why;
    return;
  }
  const FileInfo there = info_of(status);
  if (last != nullptr && last->info.same_file(there)) {
    path_trouble_.clear();
    return;
  }
  auto fd = open_file(path_);
  auto info = fd ? file_info(fd->get(), path_) : tl::unexpected(fd.error());
  if (info && !info->regular) {
    info = fail(ErrorCode::io, "follow", path_, "is not a regular file",
                "a pipe can be read by `bounced replay`");
  }
  if (!info) {
    if (path_trouble_ != info.error().message()) {
      path_trouble_ = info.error().message();
      shared_.add(&Tail::Stats::io_errors);
      spdlog::warn("{}", path_trouble_);
    }
    if (last != nullptr) leave_path(*last, now_us);
    return;
  }
  path_trouble_.clear();
  if (last != nullptr) {
    leave_path(*last, now_us);
  } else if (!seen.same_file(*info)) {
    // While there was nothing at the path, or after the first look, files may have come and gone.
    take_siblings(0, now_us);
  }
  auto file = std::make_unique<OpenFile>();
  file->path = path_;
  file->fd = std::move(*fd);
  file->info = *info;
  file->at_path = true;
  file->since_us = file->quiet_since_us = now_us;
  spdlog::debug("read: {}: a new file, {} bytes", path_, file->info.size);
  files_.push_back(std::move(file));
}

void Lane::leave_path(OpenFile& file, std::int64_t now_us) {
  file.at_path = false;
  file.since_us = now_us;
  first_scan_ = false;
  if (file.exhausted) file.stop_reading();
  if (auto info = file_info(file.descriptor(), file.path); info) file.info = *info;
  shared_.add(&Tail::Stats::rotations);
  // It may have been truncated before it was renamed; then what it held comes first.
  std::uint64_t truncated_file = 0;
  if (file.reader != nullptr && file.reader->input().plain()) {
    const auto intact = file.reader->intact(file.reader->trace());
    if (intact && !*intact) truncated_file = forget_truncated(file, now_us);
  }
  // Behind it: files that came and went between two looks.
  take_siblings(truncated_file, now_us);
}

const Lane* Lane::other_reader(const OpenFile& file) const {
  for (const auto& lane : shared_.lanes) {
    // Two paths of one file (a link): the first one reads it.
    if (lane.get() == this) {
      if (file.at_path) return nullptr;
      continue;
    }
    if (lane->is_at_path(file.info)) return lane.get();
  }
  return nullptr;
}

bool Lane::step(Block& block, std::int64_t now_us) {
  look(now_us);
  int retries = 0;
  for (std::size_t i = 0; i < files_.size();) {
    OpenFile& file = *files_[i];
    if (now_us < file.retry_at_us) {
      if (still_packed(file, now_us) && !overdue(file, now_us)) break;
      ++i;
      continue;
    }
    switch (read(file, block, now_us)) {
      case Outcome::data:
        publish();
        return true;
      case Outcome::done:
        for (auto it = files_.begin(); it != files_.end(); ++it) {
          if (it->get() == &file) {
            files_.erase(it);
            break;
          }
        }
        break;
      case Outcome::pass:
        ++i;
        break;
      case Outcome::wait:
        if (!overdue(file, now_us))
          i = files_.size();
        else
          ++i;
        break;
      case Outcome::retry:
        i = 0;
        if (++retries > kRetriesMax) i = files_.size();
        break;
    }
  }
  publish();
  return false;
}

Lane::Outcome Lane::trouble(OpenFile& file, const Error& error, std::int64_t now_us) {
  const std::string message = error.message();
  if (message != file.trouble) spdlog::warn("{}", message);
  file.trouble = message;
  shared_.add(&Tail::Stats::io_errors);
  file.backoff_us = std::clamp(file.backoff_us * 2, kBackoffMinUs, kBackoffMaxUs);
  file.retry_at_us = now_us + file.backoff_us;
  file.stop_reading();
  if (auto info = file_info(file.descriptor(), file.path); info) {
    if (info->size != file.info.size) {
      file.quiet_since_us = now_us;
      file.backoff_us = kBackoffMinUs;
      file.retry_at_us = now_us + file.backoff_us;
    }
    file.info = *info;
  }
  // A broken file that was deleted meanwhile will never become whole.
  if (!file.at_path && file.info.links == 0 && file.descriptor() >= 0) return Outcome::done;
  return still_packed(file, now_us) ? Outcome::wait : Outcome::pass;
}

/// A rotated file that is being packed, and can be read nowhere else: newer lines wait for its
/// own. Packers remove the plain file last, so where that is still there it is read instead. What
/// does not grow any more is damaged, and holds up nobody.
bool Lane::still_packed(const OpenFile& file, std::int64_t now_us) const {
  if (file.at_path || file.trouble.empty() || !has_compressed_name(file.path)) return false;
  const std::int64_t quiet = now_us - std::max(file.since_us, file.quiet_since_us);
  if (quiet >= shared_.options.rotated_wait_us) return false;
  const std::string plain = file.path.substr(0, file.path.rfind('.'));
  return ::access(plain.c_str(), F_OK) != 0;
}

Result<std::unique_ptr<LineReader>> Lane::open_reader(const OpenFile& file,
                                                      const PositionBook& known) {
  auto input = Input::adopt(Fd(::fcntl(file.fd.get(), F_DUPFD_CLOEXEC, 3)), file.path);
  if (!input) return tl::unexpected(std::move(input.error()));
  if (file.from_disk && (*input)->codec() == Codec::none && has_compressed_name(file.path)) {
    return fail(ErrorCode::data, "read", file.path, "not a whole compressed file yet");
  }
  LineReader::Options options;
  options.file.source = shared_.options.source;
  options.file.source_name = shared_.options.name;
  options.file.format = shared_.options.format;
  options.file.lane = number_;
  options.file.live = true;
  options.peek_bytes = 0;
  return LineReader::open(std::move(*input), path_, std::move(options), known, shared_.book);
}

Lane::Outcome Lane::begin(OpenFile& file, std::int64_t now_us) {
  if (file.fd.get() < 0) {
    auto fd = open_file(file.path);
    if (!fd) {
      struct stat status {};
      const bool gone = ::stat(file.path.c_str(), &status) != 0 && errno == ENOENT;
      const Outcome outcome = trouble(file, fd.error(), now_us);
      return gone ? Outcome::done : outcome;
    }
    const auto opened = file_info(fd->get(), file.path);
    if (opened && !opened->same_file(file.info)) {
      // Rotated on before it could be opened: it has another name now.
      take_siblings(0, now_us);
      return Outcome::done;
    }
    file.fd = std::move(*fd);
  }
  auto info = file_info(file.fd.get(), file.path);
  if (!info) return trouble(file, info.error(), now_us);
  // Waiting for its turn it may have been rotated by copytruncate, unseen: what it held is a
  // sibling that nobody knows yet.
  const bool changed = info->size != file.scanned_size || info->mtime_us != file.scanned_mtime_us;
  file.info = *info;
  if (file.at_path && changed) {
    file.scanned_size = info->size;
    file.scanned_mtime_us = info->mtime_us;
    if (take_siblings(0, now_us) != 0) return Outcome::retry;
  }
  // An empty file has no identity yet: it may become any.
  if (info->regular && info->size == 0) {
    return !file.at_path && settled(file, now_us) ? Outcome::done : Outcome::wait;
  }
  shared_.sync_positions();
  auto reader = open_reader(file, shared_.read);
  if (!reader) return trouble(file, reader.error(), now_us);
  const std::uint64_t key = (*reader)->position().file;
  if (const auto holder = shared_.holder(key, file.info); holder.has_value()) {
    // Equal to a file that is being read: most likely its copy, about to take its place.
    const bool copy = !holder->at_path || !(*reader)->input().plain();
    file.elsewhere = true;
    if (copy || now_us - file.since_us < shared_.options.rotated_wait_us) return Outcome::pass;
    if (!file.at_path) {
      // Its packed copy was quicker, and took its place.
      const auto read = (*reader)->at_end();
      return read && *read ? Outcome::done : Outcome::pass;
    }
    if (holder->plain) {
      // Still both there: two files that have the same start.
      PositionBook others;
      for (const Position& position : shared_.read.all()) {
        if (!shared_.holder(position.file, file.info)) others.update(position);
      }
      reader = open_reader(file, others);
      if (!reader) return trouble(file, reader.error(), now_us);
    }
  }
  if ((*reader)->beyond_end()) {
    shared_.add(&Tail::Stats::beyond_end);
    spdlog::warn("bounced: read: {}: it ends before the stored position; read from its start",
                 file.path);
  }
  const bool resumed = (*reader)->resumed();
  if (!resumed && first_scan_ && file.at_path && !shared_.options.from_start &&
      (*reader)->input().plain()) {
    if (auto moved = (*reader)->start_at_end(); !moved) return trouble(file, moved.error(), now_us);
  }
  file.reader = std::move(*reader);
  file.fd.reset();
  file.elsewhere = false;
  file.trouble.clear();
  const std::int64_t now = shared_.clock.now_us();
  shared_.note_time(file.reader->position(), resumed,
                    file.from_disk ? std::min(now, file.info.mtime_us) : now);
  return Outcome::retry;
}

Lane::Outcome Lane::read(OpenFile& file, Block& block, std::int64_t now_us) {
  if (const Lane* other = other_reader(file); other != nullptr) {
    // Moved to another path of this tail: that lane goes on where this one stopped.
    if (!file.at_path) return Outcome::done;
    file.trouble = "the same file as " + other->path();
    file.elsewhere = true;
    file.stop_reading();
    return Outcome::pass;
  }
  if (file.reader == nullptr) {
    const Outcome outcome = begin(file, now_us);
    if (file.reader == nullptr) return outcome;
  }
  if (file.exhausted) {
    auto info = file_info(file.descriptor(), file.path);
    if (!info || (info->size == file.info.size && info->mtime_us == file.info.mtime_us)) {
      return Outcome::pass;
    }
    file.info = *info;
    file.stop_reading();
    return Outcome::retry;
  }
  const LineReader::Trace trace = file.reader->trace();
  const auto status = file.reader->next(block);
  if (!status) return trouble(file, status.error(), now_us);
  switch (*status) {
    case ReadStatus::again:
      return at_end(file, trace, now_us);
    case ReadStatus::end:
      if (!file.at_path) return Outcome::done;
      file.exhausted = true;
      return Outcome::pass;
    case ReadStatus::data:
      break;
  }
  // Checked after the read: what is still there now was there while it was read. Two preads of at
  // most 256 bytes, about a microsecond, for every block.
  const auto intact = file.reader->intact(trace);
  if (!intact) return trouble(file, intact.error(), now_us);
  if (!*intact) return truncated(file, now_us);
  file.quiet_since_us = now_us;
  file.backoff_us = 0;
  file.trouble.clear();
  return hand_out(file, block);
}

Lane::Outcome Lane::hand_out(OpenFile& file, Block& block) {
  file.info = file.reader->input().info();
  read_mtime_us_ = std::max(read_mtime_us_, file.info.mtime_us);
  block.lane = number_;
  block.sequence = sequence_++;
  shared_.read.update(file.reader->position());
  const std::lock_guard lock(shared_.mutex);
  shared_.stats.bytes += block.size;
  shared_.stats.blocks += 1;
  return Outcome::data;
}

/// Nothing whole to read: still the same file? Rotated and silent long enough?
Lane::Outcome Lane::at_end(OpenFile& file, const LineReader::Trace& trace, std::int64_t now_us) {
  auto info = file_info(file.descriptor(), file.path);
  if (!info) return trouble(file, info.error(), now_us);
  const bool changed = info->size != file.info.size || info->mtime_us != file.info.mtime_us;
  file.info = *info;
  if (file.at_path && trace.offset == 0) {
    // Half a first line: nothing was remembered that could tell a truncation later. Not begun.
    file.stop_reading();
    return Outcome::wait;
  }
  if (info->size < trace.offset) return truncated(file, now_us);
  if (changed) {
    file.quiet_since_us = now_us;
    const auto intact = file.reader->intact(trace);
    if (!intact) return trouble(file, intact.error(), now_us);
    if (!*intact) return truncated(file, now_us);
  }
  if (file.at_path || !settled(file, now_us)) return Outcome::wait;
  if (file.closing) return Outcome::done;
  file.closing = true;
  file.reader->finish();
  file.reader->mark_end();
  return Outcome::retry;
}

/// A file that left the path, or was found beside it, is finished when it has been silent for
/// rotated_wait_us. Without a successor at the path its writer has not gone on yet: it is followed,
/// unless it was deleted.
bool Lane::settled(const OpenFile& file, std::int64_t now_us) const {
  const std::int64_t wait = shared_.options.rotated_wait_us;
  const bool followed = live() == nullptr && file.info.links != 0 && !file.from_disk;
  if (followed) return false;
  const std::int64_t quiet = now_us - std::max(file.since_us, file.quiet_since_us);
  if (quiet >= wait) return true;
  // Found on disk: its age is told by its own time of change.
  return file.from_disk && system_clock().now_us() - file.info.mtime_us >= wait;
}

/// Counted from when its end was first waited for, not from the rotation: back-pressure may have
/// kept everybody away from it.
bool Lane::overdue(OpenFile& file, std::int64_t now_us) const {
  if (file.at_path) return false;
  if (file.held_up_us == 0) file.held_up_us = now_us;
  return now_us - file.held_up_us > kOverdueWaits * shared_.options.rotated_wait_us;
}

/// copytruncate, `> log`, or a refill between two reads; returns the key of what it was. What was
/// not read yet may live in a copy.
std::uint64_t Lane::forget_truncated(OpenFile& file, std::int64_t now_us) {
  shared_.add(&Tail::Stats::truncations);
  const std::uint64_t key = file.reader->position().file;
  file.stop_reading();
  file.quiet_since_us = now_us;
  first_scan_ = false;
  return key;
}

Lane::Outcome Lane::truncated(OpenFile& file, std::int64_t now_us) {
  const std::uint64_t key = forget_truncated(file, now_us);
  take_siblings(key, now_us);
  return Outcome::retry;
}

}  // namespace bounced::ingest
