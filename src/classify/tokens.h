// Tokens: which pieces of a word vary from message to message, and their placeholders.
#pragma once

#include "bounced/event.h"
#include "classify/normalise.h"

namespace bounced::classify {

/// Appends the word [begin, end) (lower case, no blanks) to `to` with its variable pieces replaced;
/// returns the new end. At most three bytes are written for each byte read, and up to 63 read
/// past the word, up to 15 written past the result (copy_over). `enhanced`: set from "#5.1.1"
/// (qmail) unless already present. `with_at`: it may hold an '@'; false spares the search for
/// addresses.
char* append_word(const char* begin, const char* end, bool with_at, char* to,
                  const SendingIps& ours, EnhancedCode& enhanced);

}  // namespace bounced::classify
