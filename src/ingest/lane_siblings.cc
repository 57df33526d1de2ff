// Lane: the rotated files beside the path. Which of them are still to be read, and in what order.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/log.h"
#include "ingest/lane.h"
#include "ingest/open_file.h"

namespace bounced::ingest {

/// What happened while nobody looked: rotated files that were not read to their end come first.
/// Returns the file that was at the path then.
FileInfo Lane::first_look(std::int64_t now_us) {
  looked_ = true;
  shared_.sync_positions();
  shared_.read.visit([this](const Position& position) {
    if (position.path != path_) return;
    read_mtime_us_ = std::max(read_mtime_us_, position.updated_us);
    first_scan_ = false;
  });
  struct stat status {};
  Sibling live;
  live.path = path_;
  if (::stat(path_.c_str(), &status) != 0) {
    first_scan_ = false;
  } else {
    live.info = info_of(status);
    if (live.info.regular && live.info.size != 0) live_file_ = judge(live).file;
  }
  take_siblings(0, now_us);
  live_file_ = 0;
  if (!files_.empty()) first_scan_ = false;
  return live.info;
}

std::size_t Lane::place_of(const std::vector<Sibling>& siblings, std::size_t i) const {
  for (std::size_t k = 0; k < files_.size(); ++k) {
    const OpenFile& file = *files_[k];
    const auto listed = std::find_if(siblings.begin(), siblings.end(),
                                     [&](const Sibling& s) { return s.info.same_file(file.info); });
    // A file that is listed has left the path, even when that was not noticed yet.
    const bool live = file.at_path && listed == siblings.end();
    if (file.reader != nullptr && !live) continue;
    const bool newer = listed != siblings.end()
                           ? listed - siblings.begin() > static_cast<std::ptrdiff_t>(i)
                           : live || file.info.mtime_us >= siblings[i].info.mtime_us;
    if (newer) return k;
  }
  return files_.size();
}

Lane::Judged Lane::judge(const Sibling& sibling) {
  Judged out;
  for (const auto& lane : shared_.lanes) {
    if (const Held found = lane->held(sibling.info); found.open) {
      out.kind = found.begun ? Kind::open : Kind::waiting;
      return out;
    }
  }
  out.kind = Kind::broken;
  auto fd = open_file(sibling.path);
  if (!fd) return out;
  out.fd = Fd(::fcntl(fd->get(), F_DUPFD_CLOEXEC, 3));
  auto input = Input::adopt(std::move(*fd), sibling.path);
  if (!input) return out;
  if ((*input)->codec() == Codec::none && has_compressed_name(sibling.path)) return out;
  LineReader::Options options;
  options.file.source_name = shared_.options.name;
  options.peek_bytes = 0;
  PositionBook no_keys;
  auto reader =
      LineReader::open(std::move(*input), sibling.path, std::move(options), shared_.read, no_keys);
  if (!reader) return out;
  out.kind = Kind::unknown;
  if ((*reader)->beyond_end()) out.kind = Kind::prefix;
  if (!(*reader)->resumed()) return out;
  out.file = (*reader)->position().file;
  if (shared_.holder(out.file, {})) {
    out.kind = Kind::open;  // a copy of what is being read
    return out;
  }
  const auto at_end = (*reader)->at_end();
  out.kind = at_end ? Kind::known : Kind::broken;
  bool marked = false;
  shared_.read.visit([&](const Position& position) {
    if (position.file == out.file) marked = position.finished;
  });
  out.finished = at_end && *at_end && marked;
  return out;
}

bool Lane::ours(const Position& position) const {
  return position.source == shared_.options.name || position.path == path_;
}

/// Positions of this source that no open file belongs to and that are not at their end.
std::vector<std::uint64_t> Lane::unfinished_files() const {
  std::vector<std::uint64_t> unfinished;
  shared_.read.visit([&](const Position& position) {
    if (position.finished || position.file == live_file_ || !ours(position)) return;
    if (position.path != path_ && shared_.paths.count(position.path) != 0) return;
    unfinished.push_back(position.file);
  });
  unfinished.erase(
      std::remove_if(unfinished.begin(), unfinished.end(),
                     [this](std::uint64_t file) { return shared_.holder(file, {}).has_value(); }),
      unfinished.end());
  return unfinished;
}

/// Judges from the newest to the oldest; `from` is where it could stop. Older than a file that is
/// read to its end, or open, only an unfinished position could still point into an archive, and to
/// decode every old archive at each start would cost minutes.
void Lane::judge_siblings(const std::vector<Sibling>& siblings, std::vector<Judged>& judged,
                          std::size_t& from) {
  std::vector<std::uint64_t> unfinished = unfinished_files();
  bool stop = false;
  for (from = siblings.size(); from > 0; --from) {
    const Sibling& sibling = siblings[from - 1];
    Judged& found = judged[from - 1];
    if (stop && unfinished.empty() && has_compressed_name(sibling.path)) break;
    if (shared_.paths.count(sibling.path) != 0) {
      found.kind = Kind::prefix;
      continue;
    }
    found = judge(sibling);
    if (found.finished || found.kind == Kind::open) stop = true;
    unfinished.erase(std::remove(unfinished.begin(), unfinished.end(), found.file),
                     unfinished.end());
  }
}

Lane::Surroundings Lane::look_around() {
  Surroundings found;
  const bool settled = look_at_siblings(path_, [&](const std::vector<Sibling>& siblings) {
    found = {};
    found.siblings = siblings;
    found.judged.resize(siblings.size());
    judge_siblings(siblings, found.judged, found.from);
  });
  if (!settled) {
    spdlog::warn("bounced: read: {}: the rotated files beside it do not stand still", path_);
  }
  return found;
}

std::size_t Lane::take_siblings(std::uint64_t copied_file, std::int64_t now_us) {
  bool any = false;
  shared_.read.visit([&](const Position& position) { any = any || ours(position); });
  if (!any) return 0;  // never read anything: only the live files count
  auto [siblings, judged, from] = look_around();
  std::size_t oldest_known = siblings.size();
  bool copy_found = false;
  for (std::size_t i = siblings.size(); i > from; --i) {
    const Judged& found = judged[i - 1];
    if (found.kind == Kind::known || found.kind == Kind::open) oldest_known = i - 1;
    copy_found = copy_found || (copied_file != 0 && found.file == copied_file);
  }
  if (copy_found) shared_.add(&Tail::Stats::copies_recognised);
  if (copied_file != 0 && !copy_found) {
    spdlog::warn(
        "bounced: read: {}: truncated, and no copy of it was found; what was not yet read "
        "is lost; rotate by rename (logrotate: create) instead",
        path_);
  }
  const bool nothing_known = oldest_known == siblings.size();
  std::size_t taken = 0;
  for (std::size_t i = from; i < siblings.size(); ++i) {
    Judged& found = judged[i];
    const bool later = nothing_known
                           ? read_mtime_us_ != 0 && siblings[i].info.mtime_us > read_mtime_us_
                           : i > oldest_known;
    const bool unread = later && siblings[i].rotation_name &&
                        (found.kind == Kind::unknown || found.kind == Kind::broken);
    const bool unfinished = (found.kind == Kind::known && !found.finished) ||
                            (found.kind == Kind::broken && found.file != 0);
    if (!unread && !unfinished) continue;
    auto file = std::make_unique<OpenFile>();
    file->path = siblings[i].path;
    file->info = siblings[i].info;
    file->fd = std::move(found.fd);
    file->from_disk = true;
    file->since_us = file->quiet_since_us = now_us;
    spdlog::debug("read: {}: {} is taken up, {} bytes", path_, file->path, file->info.size);
    const std::size_t place = place_of(siblings, i);
    files_.insert(files_.begin() + static_cast<std::ptrdiff_t>(place), std::move(file));
    shared_.add(&Tail::Stats::siblings);
    ++taken;
  }
  return taken;
}

}  // namespace bounced::ingest
