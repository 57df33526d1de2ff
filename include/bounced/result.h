// Result<T>: how every fallible call of bounced reports failure; no exceptions on the hot path.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace bounced {

/// What kind of trouble; fixes the exit status of the command line (DESIGN section 6).
enum class ErrorCode : unsigned char {
  usage,      ///< wrong option, unknown key: exit 2
  not_found,  ///< the thing asked for does not exist: exit 1
  check,      ///< a check failed (rules check, config check): exit 1
  data,       ///< malformed or incompatible data (newer store, bad rule file): exit 3
  io,         ///< the operating system said no: exit 3
  no_space,   ///< ENOSPC / EDQUOT: exit 3
  busy,       ///< somebody else holds it (store lock): exit 3
  cancelled,  ///< stopped by request: exit 3
};

/// One line for the operator: `bounced: <what>: <where>: <why>; <hint>`.
struct Error {
  ErrorCode code = ErrorCode::io;
  std::string what;   ///< what was being done, e.g. "open"
  std::string where;  ///< file[:line] or object
  std::string why;    ///< the reason, e.g. strerror text
  std::string hint;   ///< what to do about it; may be empty

  /// The line without a trailing newline; empty parts are left out.
  [[nodiscard]] std::string message() const {
    std::string line = "bounced";
    for (const std::string* part : {&what, &where, &why}) {
      if (!part->empty()) line += ": " + *part;
    }
    if (!hint.empty()) line += "; " + hint;
    return line;
  }
  [[nodiscard]] int exit_status() const {
    switch (code) {
      case ErrorCode::usage:
        return 2;
      case ErrorCode::not_found:
      case ErrorCode::check:
        return 1;
      default:
        return 3;
    }
  }
};

template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(ErrorCode code, std::string what, std::string where,
                                  std::string why, std::string hint = {}) {
  return tl::unexpected<Error>(
      Error{code, std::move(what), std::move(where), std::move(why), std::move(hint)});
}

}  // namespace bounced
