// Where in the original text a literal of the normalised text stands.
#pragma once

#include <cstdint>
#include <string_view>

namespace bounced::classify {

struct Range {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

/// The first place of `original` whose normal form holds `literal` (normalised words): blanks match
/// any run of blanks and reply-line continuations ("550-5.1.1 "), placeholders any token. {0,0}
/// when it cannot be told. Slow; only for output.
Range find_span(std::string_view original, std::string_view literal);

}  // namespace bounced::classify
