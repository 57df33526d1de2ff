// Small text helpers shared by the folders.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bounced {

inline char ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}
std::string ascii_lower(std::string_view text);
bool iequals(std::string_view a, std::string_view b);
std::string_view trim(std::string_view text);
/// True when `name` equals `suffix` or ends with "." + suffix; ASCII case-insensitive.
bool domain_matches(std::string_view name, std::string_view suffix);
/// Whether a file begins as `journalctl -o export` writes it: its records are of several lines and
/// end with an empty one.
bool is_journal_export(std::string_view head);
/// Appends `text` as a JSON string with quotes. Bad UTF-8 becomes U+FFFD.
void append_json(std::string& out, std::string_view text);
/// Nearest of `names` by edit distance (<= 3), or empty: for "did you mean".
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& names);
/// 1234567 -> "1,234,567"; 1536 -> "1.5 KiB".
std::string with_commas(std::uint64_t number);
std::string human_bytes(double bytes);
/// Replaces control bytes (and, at a terminal, escape sequences) by '?' so that hostile text
/// cannot drive the operator's terminal.
std::string printable(std::string_view text);

}  // namespace bounced
