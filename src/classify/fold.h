// Folding of text that is not plain ASCII: escapes, broken UTF-8, NFC and full case folding.
#pragma once

#include <string>
#include <string_view>

namespace bounced::classify {

/// Undoes \ooo, \n, \t and #ooo escapes (a left-over backslash becomes '/'), reads invalid bytes as
/// Latin-1, turns Unicode blanks into ' ', drops zero-width characters, folds case, composes (NFC).
/// The result is valid UTF-8 without backslashes; folding it again changes nothing.
void fold(std::string_view raw, std::string& out);

}  // namespace bounced::classify
