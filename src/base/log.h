// The program's own log: spdlog to stderr, one line an entry, addresses masked by the caller.
#pragma once

#include <string_view>

#include <spdlog/spdlog.h>

namespace bounced {

/// level: trace debug info warn error off. Colour only on a terminal and without NO_COLOR.
void init_logging(std::string_view level);

/// "jo***@example.com": for logs and captured requests.
std::string mask_address(std::string_view address);

}  // namespace bounced
