#include "parse/mail/fields.h"

#include "base/text.h"
#include "bounced/limits.h"

namespace bounced::parse::mail {
namespace {

/// More fields than any mail has; what follows is not looked at.
constexpr std::size_t kFieldsMax = 256;
/// A value is kept up to here.
constexpr std::size_t kValueBytesMax = 8192;

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

bool is_atom(char c) {
  if (c >= 'a' && c <= 'z') return true;
  if (c >= 'A' && c <= 'Z') return true;
  if (c >= '0' && c <= '9') return true;
  if ((static_cast<unsigned char>(c) & 0x80) != 0) return true;
  return std::string_view(".!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
}

bool is_domain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || (static_cast<unsigned char>(c) & 0x80) != 0;
}

/// End of the domain that begins at `at`: a name, or an address literal.
std::size_t domain_end(std::string_view text, std::size_t at) {
  if (at < text.size() && text[at] == '[') {
    const std::size_t close = text.find(']', at);
    return close != std::string_view::npos && close - at < 64 ? close + 1 : at;
  }
  std::size_t end = at;
  while (end < text.size() && is_domain(text[end])) ++end;
  while (end > at && (text[end - 1] == '.' || text[end - 1] == '-')) --end;
  return end;
}

/// Begin of the local part that ends at `at`.
std::size_t local_begin(std::string_view text, std::size_t at, std::size_t from) {
  if (at > from && text[at - 1] == '"') {
    for (std::size_t i = at - 1; i-- > from;) {
      if (text[i] == '"' && (i == from || text[i - 1] != '\\')) return i;
      if (text[i] == '\n') break;
    }
    return at;
  }
  std::size_t begin = at;
  while (begin > from && is_atom(text[begin - 1])) --begin;
  // Quotes and marks of prose that are also atoms.
  while (begin < at && (text[begin] == '\'' || text[begin] == '`' || text[begin] == '.' ||
                        text[begin] == '*' || text[begin] == '=')) {
    ++begin;
  }
  // A typographic quote or a full-width mark before the address.
  for (std::size_t i = at; i-- > begin;) {
    if ((static_cast<unsigned char>(text[i]) & 0x80) == 0) continue;
    const std::string_view before = text.substr(0, i + 1);
    for (const std::string_view mark : {"\u201c", "\u2018", "\u00ab", "\u300c", "\u3010", "\uff1a",
                                        "\uff1c", "\u201e", "\uff08", "\u3000", "\u00a0"}) {
      if (before.size() >= mark.size() && before.substr(before.size() - mark.size()) == mark) {
        return i + 1;
      }
    }
  }
  return begin;
}

}  // namespace

void Fields::add(std::string_view name, std::string_view value) {
  if (fields_.size() >= kFieldsMax) return;
  fields_.push_back({ascii_lower(name), collapse(value.substr(0, kValueBytesMax))});
}

std::string_view Fields::get(std::string_view name) const {
  for (const HeaderField& field : fields_) {
    if (field.name == name) return field.value;
  }
  return {};
}

bool Fields::has(std::string_view name) const {
  for (const HeaderField& field : fields_) {
    if (field.name == name) return true;
  }
  return false;
}

std::size_t read_fields(std::string_view text, Fields& out) {
  std::size_t at = 0;
  while (at < text.size() && (is_blank(text[at]) || text[at] == '\r' || text[at] == '\n')) ++at;
  while (at < text.size()) {
    std::size_t end = text.find('\n', at);
    if (end == std::string_view::npos) end = text.size();
    const std::string_view first = text.substr(at, end - at);
    if (trim(first).empty()) return std::min(end + 1, text.size());
    const std::size_t colon = first.find(':');
    const bool named = colon != std::string_view::npos && colon != 0 && colon < 80 &&
                       first.substr(0, colon).find_first_of(" \t<@\"") == std::string_view::npos;
    if (!named) return at;
    // Folded lines go on with white space.
    while (end + 1 < text.size() && is_blank(text[end + 1])) {
      std::size_t next = text.find('\n', end + 1);
      if (next == std::string_view::npos) next = text.size();
      if (trim(text.substr(end + 1, next - end - 1)).empty()) break;
      end = next;
    }
    out.add(first.substr(0, colon), text.substr(at + colon + 1, end - at - colon - 1));
    at = std::min(end + 1, text.size());
  }
  return at;
}

std::string collapse(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool blank = false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '\x7f') {
      blank = !out.empty();
      continue;
    }
    if (blank) out += ' ';
    blank = false;
    out += c;
  }
  return out;
}

bool plausible_address(std::string_view address) {
  const std::size_t at = address.rfind('@');
  if (at == std::string_view::npos || at == 0 || address.size() > limits::kAddressBytesMax) {
    return false;
  }
  const std::string_view local = address.substr(0, at);
  const bool quoted = local.size() > 1 && local.front() == '"' && local.back() == '"';
  if (!quoted) {
    for (const char c : local) {
      if (!is_atom(c)) return false;
    }
  }
  const std::string_view domain = address.substr(at + 1);
  if (domain_end(address, at + 1) != address.size()) return false;
  if (domain.front() == '[') return true;
  return domain.find('.') != std::string_view::npos && domain.front() != '.' &&
         domain.find("..") == std::string_view::npos;
}

std::vector<FoundAddress> find_addresses(std::string_view text, std::size_t max) {
  std::vector<FoundAddress> found;
  std::size_t from = 0;
  for (std::size_t at = text.find('@'); at != std::string_view::npos && found.size() < max;
       at = text.find('@', at + 1)) {
    const std::size_t begin = local_begin(text, at, from);
    const std::size_t end = domain_end(text, at + 1);
    const std::string_view address = text.substr(begin, end - begin);
    if (begin == at || !plausible_address(address)) continue;
    FoundAddress one{address, begin, end};
    if (begin > 0 && text[begin - 1] == '<' && end < text.size() && text[end] == '>') {
      --one.begin;
      ++one.end;
    }
    found.push_back(one);
    from = end;
  }
  return found;
}

std::string_view address_of(std::string_view value) {
  const std::size_t open = value.rfind('<');
  const std::size_t close = value.rfind('>');
  if (open != std::string_view::npos && close != std::string_view::npos && open < close) {
    const std::string_view inside = trim(value.substr(open + 1, close - open - 1));
    if (plausible_address(inside)) return inside;
  }
  const auto found = find_addresses(value, 1);
  return found.empty() ? std::string_view{} : found.front().text;
}

std::string_view local_part(std::string_view address) {
  return address.substr(0, address.rfind('@'));
}

}  // namespace bounced::parse::mail
