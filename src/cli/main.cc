// bounced: the bounce daemon and its command line.
#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/app.h"

namespace {

/// Every followed or merged file is an open one; the soft limit is for programs that use select().
void allow_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

// A descriptor that the caller closed would be that of the next file opened, say of the store, and
// what goes to stdout would go there. Opened the wrong way round, so that use is still an error.
void hold_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0) {
      (void)::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  hold_standard_descriptors();
  std::signal(SIGPIPE, SIG_IGN);
  allow_open_files();
  bounced::init_logging("warn");
  bounced::cli::Io io(STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO,
                      std::getenv("NO_COLOR") != nullptr);
  bounced::cli::App app(io);
  app.process_ends = true;
  app.uid = ::getuid();
  try {
    std::error_code ignored;
    app.cwd = std::filesystem::current_path(ignored).string();
    return bounced::cli::run_app(app, std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& e) {  // out of memory and the like
    return io.report({bounced::ErrorCode::io, "internal error", "", e.what(), ""});
  }
}
