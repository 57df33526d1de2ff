#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "ingest/lane.h"
#include "ingest/watch.h"

namespace bounced::ingest {

namespace {

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string_view name_of(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

struct Tail::Impl {
  Impl(TailOptions options, PositionBook& book, const Clock& clock)
      : shared(std::move(options), book, clock), watch(shared.options.use_inotify) {}

  TailShared shared;
  Watch watch;
  std::vector<bool> news;  // by lane: something may be there to read
  std::size_t turn = 0;    // lane whose turn it is: nobody starves
  std::int64_t next_poll_us = 0;
  bool scanned = false;
  bool woken = false;

  void scan();
  void listen();
  bool step(Block& block, std::int64_t now_us, std::int64_t deadline_us);
};

/// Makes lanes for paths that are new, and watches their folders.
void Tail::Impl::scan() {
  const std::vector<std::string>& patterns = shared.options.paths;
  for (const std::string& pattern : patterns) {
    const std::string folder = folder_of(pattern);
    if (folder.find_first_of("*?[") == std::string::npos) watch.add(folder);
  }
  for (const std::string& path : expand_globs(patterns)) {
    watch.add(folder_of(path));
    if (shared.paths.count(path) != 0) continue;
    struct stat status {};
    const bool named = std::find(patterns.begin(), patterns.end(), path) != patterns.end();
    // A wildcard that also meets folders does not mean them.
    if (!named && (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode))) continue;
    shared.paths.insert(path);
    const auto number = static_cast<std::uint32_t>(shared.lanes.size());
    {
      const std::lock_guard lock(shared.mutex);
      shared.states.emplace_back();
    }
    shared.lanes.push_back(std::make_unique<Lane>(path, number, !scanned, shared));
    news.push_back(true);
  }
  scanned = true;
}

void Tail::Impl::listen() {
  bool rescan = false;
  const auto tell = [&](const Watch::News& told) {
    bool known = false;
    for (std::size_t i = 0; i < news.size(); ++i) {
      const std::string& path = shared.lanes[i]->path();
      if (!told.folder.empty() && folder_of(path) != told.folder) continue;
      // A rotated file's name starts with the lane's.
      if (!told.name.empty() && told.name.substr(0, name_of(path).size()) != name_of(path))
        continue;
      news[i] = true;
      known = known || told.name == name_of(path);
    }
    rescan = rescan || told.name.empty() || (told.appeared && !known);
  };
  if (watch.drain(tell)) woken = true;
  if (rescan) scan();
}

/// Gives up at the deadline, to go on there the next time: a first look at a thousand files takes
/// a while.
bool Tail::Impl::step(Block& block, std::int64_t now_us, std::int64_t deadline_us) {
  const std::size_t count = shared.lanes.size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t lane = (turn + i) % count;
    if (!news[lane]) continue;
    if (shared.lanes[lane]->step(block, now_us)) {
      turn = lane + 1;
      return true;
    }
    news[lane] = false;
    if (monotonic_us() >= deadline_us) {
      turn = lane + 1;
      return false;
    }
  }
  return false;
}

Tail::Tail(TailOptions options, PositionBook& book, const Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(options), book, clock)) {}
Tail::~Tail() = default;

Result<ReadStatus> Tail::next(Block& block, std::int64_t timeout_us) {
  Impl& impl = *impl_;
  const std::int64_t deadline_us = monotonic_us() + std::max<std::int64_t>(timeout_us, 0);
  for (;;) {
    std::int64_t now_us = monotonic_us();
    impl.listen();
    if (now_us >= impl.next_poll_us) {
      impl.scan();
      impl.news.assign(impl.news.size(), true);
      impl.next_poll_us = now_us + impl.shared.options.poll_us;
    }
    if (impl.step(block, now_us, deadline_us)) return ReadStatus::data;
    now_us = monotonic_us();
    if (impl.woken || now_us >= deadline_us) {
      impl.woken = false;
      return ReadStatus::again;
    }
    impl.watch.wait(std::min(deadline_us, impl.next_poll_us) - now_us);
  }
}

void Tail::wake() {
  impl_->watch.wake();
}

std::vector<Tail::FileState> Tail::files() const {
  std::vector<FileState> out;
  const std::lock_guard lock(impl_->shared.mutex);
  for (const auto& lane : impl_->shared.states) out.insert(out.end(), lane.begin(), lane.end());
  return out;
}

bool Tail::follows(const Position& position) const {
  const auto same = [&position](std::uint64_t device, std::uint64_t inode) {
    return inode != 0 && inode == position.inode && device == position.device;
  };
  for (const FileState& state : files()) {
    if (state.file == position.file || same(state.device, state.inode)) return true;
  }
  // Not looked at yet.
  for (const std::string& path : expand_globs(impl_->shared.options.paths)) {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0 && same(status.st_dev, status.st_ino)) return true;
  }
  return false;
}

void Tail::add_positions(PositionBook& known) const {
  impl_->shared.add_read_to(known);
}

TimeResolver::State Tail::time_state(std::uint64_t file) const {
  {
    const std::lock_guard lock(impl_->shared.mutex);
    const auto known = impl_->shared.times.find(file);
    if (known != impl_->shared.times.end()) return known->second;
  }
  TimeResolver::State state;
  state.anchor_us = impl_->shared.clock.now_us();
  return state;
}

Tail::Stats Tail::stats() const {
  const std::lock_guard lock(impl_->shared.mutex);
  return impl_->shared.stats;
}

}  // namespace bounced::ingest
