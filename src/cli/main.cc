// bounced: the bounce daemon and its command line.
#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include <unistd.h>

#include "base/log.h"
#include "cli/app.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  bounced::init_logging("warn");
  bounced::cli::Io io(STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO,
                      std::getenv("NO_COLOR") != nullptr);
  bounced::cli::App app(io);
  app.process_ends = true;
  try {
    std::error_code ignored;
    app.cwd = std::filesystem::current_path(ignored).string();
    return bounced::cli::run_app(app, std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& e) {  // out of memory and the like
    return io.report({bounced::ErrorCode::io, "internal error", "", e.what(), ""});
  }
}
