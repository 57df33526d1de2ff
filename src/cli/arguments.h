// What operators type: times, numbers and addresses of options and arguments.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bounced/result.h"

namespace CLI {
class Option;
}

namespace bounced::cli {

/// Which way from now a duration goes: "7d" of --since is 7 days ago, of --until of a block in 7.
enum class Way : std::int8_t { back = -1, on = 1 };
/// A time, or a duration from `now_us`. Errors name the option.
Result<std::int64_t> parse_moment(std::string_view option, const std::string& text,
                                  std::int64_t now_us, Way way);

/// The address in what was typed or pasted: without blanks around it, and without <>.
std::string bare_address(std::string_view text);
/// Error: nothing that has a state of its own; with `mailable`, nothing that mail can be sent to.
Result<void> check_address(const std::string& address, bool mailable);

/// Takes whole numbers only, none that is negative or larger than the option can hold.
void whole_number(CLI::Option& option);
/// An option with an empty value is a variable that was not set: an error.
void not_empty(CLI::Option& option);

/// "file:PATH" (from `base`) and "env:NAME" are read, without line ends behind it; anything else is
/// the secret itself. Errors: usage, io; they begin with `what` and `where`, and hold no secret.
Result<std::string> read_secret(const std::string& text, const std::string& base, const char* what,
                                const std::string& where);

/// "cli:" and the name of the user: who changes something.
std::string actor_name(std::uint32_t uid);

}  // namespace bounced::cli
