// fields: header fields (RFC 5322 section 2.2), and the addresses that texts hold.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bounced::parse::mail {

struct HeaderField {
  std::string name;   ///< lower case
  std::string value;  ///< unfolded: every run of white space is one blank
};

/// Fields in their order; a name may come again.
class Fields {
 public:
  void add(std::string_view name, std::string_view value);
  /// The first of that (lower-case) name; empty when there is none.
  [[nodiscard]] std::string_view get(std::string_view name) const;
  [[nodiscard]] bool has(std::string_view name) const;
  [[nodiscard]] const std::vector<HeaderField>& all() const { return fields_; }
  [[nodiscard]] bool empty() const { return fields_.empty(); }
  void clear() { fields_.clear(); }

 private:
  std::vector<HeaderField> fields_;
};

/// Reads fields from the start of `text` up to a blank line, or a line that is no field; returns
/// the bytes taken, the blank line included. White space before the first field is skipped.
std::size_t read_fields(std::string_view text, Fields& out);

/// White space trimmed, every run of it one blank; control bytes are white space.
std::string collapse(std::string_view text);

/// An address with its place in the text that it was found in.
struct FoundAddress {
  std::string_view text;  ///< local@domain, without <>
  std::size_t begin = 0;  ///< of the text, or of the '<' before it
  std::size_t end = 0;    ///< behind it, or behind the '>'
};

/// Whether local@domain could be the address of a mailbox: a local part without blanks, a domain of
/// at least two labels or an address literal.
bool plausible_address(std::string_view address);
/// Addresses in free text, in order: at most `max`.
std::vector<FoundAddress> find_addresses(std::string_view text, std::size_t max = 64);
/// The address of a field that holds one mailbox ("Ann <ann@example.com>", "<a@b.c>", "a@b.c (x)");
/// empty when there is none.
std::string_view address_of(std::string_view value);
/// The part before '@', or all of it.
std::string_view local_part(std::string_view address);

}  // namespace bounced::parse::mail
