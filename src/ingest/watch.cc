#include "ingest/watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace bounced::ingest {

namespace {

constexpr std::uint32_t kMask = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                                IN_ATTRIB | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF;

}  // namespace

Watch::Watch(bool use_inotify)
    : inotify_(use_inotify ? ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

void Watch::add(const std::string& folder) {
  if (inotify_.get() < 0 || folders_.count(folder) != 0) return;
  const int number = ::inotify_add_watch(inotify_.get(), folder.c_str(), kMask | IN_ONLYDIR);
  if (number < 0) return;
  folders_[folder] = number;
  names_[number] = folder;
}

void Watch::wait(std::int64_t timeout_us) {
  if (timeout_us <= 0) return;
  pollfd waiting[2] = {{wake_.get(), POLLIN, 0}, {inotify_.get(), POLLIN, 0}};
  const timespec timeout{timeout_us / 1'000'000, timeout_us % 1'000'000 * 1000};
  ::ppoll(waiting, inotify_.get() < 0 ? 1 : 2, &timeout, nullptr);
}

bool Watch::drain(const std::function<void(const News&)>& tell) {
  std::uint64_t wakes = 0;
  const bool woken = ::read(wake_.get(), &wakes, sizeof wakes) > 0;
  alignas(inotify_event) char buffer[16 << 10];
  while (inotify_.get() >= 0) {
    const ssize_t got = ::read(inotify_.get(), buffer, sizeof buffer);
    if (got <= 0) break;
    for (ssize_t at = 0; at < got;) {
      inotify_event event;
      std::memcpy(&event, buffer + at, sizeof event);
      const char* name = buffer + at + sizeof event;
      at += static_cast<ssize_t>(sizeof event + event.len);
      const auto folder = names_.find(event.wd);
      if (folder == names_.end()) {
        if ((event.mask & IN_Q_OVERFLOW) != 0) tell({});
        continue;
      }
      News news;
      news.folder = folder->second;
      if (event.len != 0) news.name = name;
      news.appeared = (event.mask & (IN_CREATE | IN_MOVED_TO)) != 0;
      tell(news);
      if ((event.mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) != 0) {
        // The folder is another one now, or gone: the next add() watches what is there then.
        if ((event.mask & IN_IGNORED) == 0) ::inotify_rm_watch(inotify_.get(), event.wd);
        folders_.erase(folder->second);
        names_.erase(folder);
      }
    }
  }
  return woken;
}

void Watch::wake() {
  const std::uint64_t one = 1;
  // Full means that a wake-up is under way already.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

}  // namespace bounced::ingest
