#include "store/status.h"

#include <cerrno>
#include <cstring>
#include <string_view>

namespace bounced::store {
namespace {

constexpr const char* kNoSpaceHint = "free some space or move the data directory; nothing is lost";

bool lock_held(std::string_view text) {
  return text.find("While lock file") != std::string_view::npos ||
         text.find("lock hold by current process") != std::string_view::npos;
}

bool no_space(const rocksdb::Status& status, std::string_view text) {
  return status.IsNoSpace() || status.subcode() == rocksdb::Status::kSpaceLimit ||
         text.find(std::strerror(ENOSPC)) != std::string_view::npos ||
         text.find(std::strerror(EDQUOT)) != std::string_view::npos;
}

}  // namespace

tl::unexpected<Error> store_error(const rocksdb::Status& status, std::string what,
                                  const std::string& dir) {
  std::string text = status.ToString();
  if (no_space(status, text)) {
    return fail(ErrorCode::no_space, std::move(what), dir, "no space left on device", kNoSpaceHint);
  }
  if (status.IsIOError() && lock_held(text)) {
    return fail(ErrorCode::busy, std::move(what), dir, "another bounced is using it",
                "stop it, or let commands reach it through its control socket");
  }
  if (status.IsCorruption()) {
    return fail(ErrorCode::data, std::move(what), dir, std::move(text),
                "restore a backup, or replay the logs into a new directory");
  }
  return fail(ErrorCode::io, std::move(what), dir, std::move(text));
}

tl::unexpected<Error> system_error(int number, std::string what, const std::string& path) {
  if (number == ENOSPC || number == EDQUOT) {
    return fail(ErrorCode::no_space, std::move(what), path, std::strerror(number), kNoSpaceHint);
  }
  return fail(ErrorCode::io, std::move(what), path, std::strerror(number));
}

}  // namespace bounced::store
