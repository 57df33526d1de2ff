// What logs and old servers make of letters that are not ASCII.
#pragma once

#include <string>
#include <vector>

namespace bounced::classify {

/// Adds to the literals of a rule the forms in which its non-ASCII words arrive: each letter or
/// each byte as '?' (Postfix, syslog and Exim mask so), accents left away ("buzon"), and German
/// umlauts written out ("empfaenger"). So files state a word once. Literals that would keep too few
/// ASCII letters to tell anything (Cyrillic, Chinese, ...) get none. `literals` are normalised:
/// NFC, folded.
void add_masked(std::vector<std::string>& literals);

}  // namespace bounced::classify
