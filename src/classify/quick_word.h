// Quick word: append_word() for the shapes that make up most of a log, on bitmaps of the word.
#pragma once

#include "classify/normalise.h"

namespace bounced::classify {

/// Appends what append_word() would, and returns the new end; nullptr (nothing is kept) when the
/// word has a shape that is left to it. Reads up to 63 bytes behind `begin`.
char* quick_word(const char* begin, const char* end, char* to, const SendingIps& ours);

}  // namespace bounced::classify
