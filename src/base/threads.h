// Threads with names: what `top -H` and a debugger show.
#pragma once

#include <pthread.h>

#include <string>

namespace bounced {

/// Names the calling thread; at most 15 bytes are kept.
inline void name_thread(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

}  // namespace bounced
