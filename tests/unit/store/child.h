// A test that runs another test of this program in a process of its own: RocksDB's threads do not
// survive a bare fork.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace bounced::test {

/// Descriptor on which a child may write to its parent.
inline constexpr int kChildPipe = 3;

/// Starts the disabled test `filter` with BOUNCED_TEST_DIR = dir; its kChildPipe is `pipe_write`.
inline pid_t start_child(const char* filter, const std::string& dir, int pipe_write) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  ::setenv("BOUNCED_TEST_DIR", dir.c_str(), 1);
  if (pipe_write >= 0) (void)::dup2(pipe_write, kChildPipe);
  const std::string argument = std::string("--gtest_filter=") + filter;
  ::execl("/proc/self/exe", "child", "--gtest_also_run_disabled_tests", "--gtest_brief=1",
          argument.c_str(), static_cast<char*>(nullptr));
  ::_exit(127);
}

/// The directory given by start_child(); empty when somebody ran the disabled test by hand.
inline std::string child_dir() {
  const char* dir = std::getenv("BOUNCED_TEST_DIR");
  return dir != nullptr ? dir : "";
}

inline int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace bounced::test
