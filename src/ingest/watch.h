// Watch: news about folders from inotify, and a wake-up from other threads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "ingest/input.h"

namespace bounced::ingest {

/// Without inotify (switched off, no watches left, NFS) only wait() and wake() do something; who
/// uses it polls anyway. Thread safety: wake() from any thread, the rest from one.
class Watch {
 public:
  explicit Watch(bool use_inotify);

  /// Watches a folder from now on; asked again for one that was not there, it tries again.
  void add(const std::string& folder);
  /// Sleeps until news, wake() or the time-out.
  void wait(std::int64_t timeout_us);
  struct News {
    std::string_view folder, name;  ///< both empty: news were lost; name empty: the folder itself
    bool appeared = false;          ///< created or moved here
  };
  /// Tells all news so far. True when wake() was called since the last time.
  bool drain(const std::function<void(const News&)>& tell);
  void wake();

 private:
  Fd inotify_, wake_;
  std::map<std::string, int> folders_;
  std::map<int, std::string> names_;
};

}  // namespace bounced::ingest
