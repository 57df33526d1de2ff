// Data files compiled into the program by tools/embed.cmake (bounced_embed).
#pragma once

#include <span>
#include <string_view>

namespace bounced {

/// One file of the source tree, as it was at build time. Views live for the whole program.
struct EmbeddedFile {
  std::string_view name;  ///< file name without folder, e.g. "policy.toml"
  std::string_view text;
};

}  // namespace bounced
