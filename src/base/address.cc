#include "base/address.h"

#include <idn2.h>

#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/hash_inline.h"
#include "base/text.h"

namespace bounced {
namespace {

// RFC 5322 atext, and every byte above ASCII (RFC 6532).
bool is_atext(unsigned char c) {
  if (c >= 0x80) return true;
  if (c >= 'a' && c <= 'z') return true;
  if (c >= 'A' && c <= 'Z') return true;
  if (c >= '0' && c <= '9') return true;
  return c != 0 && std::strchr("!#$%&'*+-/=?^_`{|}~", c) != nullptr;
}

bool is_dot_atom(std::string_view text) {
  if (text.empty() || text.front() == '.' || text.back() == '.') return false;
  bool dot = false;
  for (const char c : text) {
    if (c == '.') {
      if (dot) return false;
      dot = true;
    } else {
      if (!is_atext(static_cast<unsigned char>(c))) return false;
      dot = false;
    }
  }
  return true;
}

bool has_high_bit(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) return true;
  }
  return false;
}

// "Ünïcode.Example" -> A-labels; false when libidn2 refuses.
bool to_a_labels(std::string_view domain, std::string& out) {
  const std::string copy(domain);
  char* encoded = nullptr;
  const int rc = idn2_to_ascii_8z(copy.c_str(), &encoded, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
  if (rc != IDN2_OK) return false;
  out = encoded;
  idn2_free(encoded);
  return true;
}

// "\"a b\"" -> a b with backslash pairs undone, only when that is a dot-atom.
bool unquote(std::string_view local, char* out, std::size_t& size) {
  if (local.size() < 2 || local.front() != '"' || local.back() != '"') return false;
  size = 0;
  for (std::size_t i = 1; i + 1 < local.size(); ++i) {
    if (local[i] == '\\' && i + 2 < local.size()) ++i;
    out[size++] = local[i];
  }
  return is_dot_atom({out, size});
}

constexpr std::size_t kNoAt = static_cast<std::size_t>(-1);

// Copies `text` with ASCII lower-cased and finds its last '@' (kNoAt = none); true when every byte
// is ASCII. One pass: chunks of 16, the last one overlapping its neighbour. `to` has 16 spare
// bytes.
[[gnu::always_inline]] inline bool fold_ascii(std::string_view text, char* to, std::size_t& at) {
  at = kNoAt;
#if defined(__SSE2__)
  const __m128i before_a = _mm_set1_epi8('A' - 1), after_z = _mm_set1_epi8('Z' + 1);
  const __m128i bit = _mm_set1_epi8(0x20), sign = _mm_set1_epi8('@');
  __m128i all = _mm_setzero_si128();
  const auto fold = [&](const char* from, std::size_t i) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    all = _mm_or_si128(all, v);
    const __m128i upper = _mm_and_si128(_mm_cmpgt_epi8(v, before_a), _mm_cmplt_epi8(v, after_z));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm_or_si128(v, _mm_and_si128(upper, bit)));
    const auto signs = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(v, sign)));
    if (signs != 0) at = i + 31 - static_cast<unsigned>(__builtin_clz(signs));
  };
  const std::size_t size = text.size();
  if (size < 16) {
    char small[16] = {};
    std::memcpy(small, text.data(), size);
    fold(small, 0);
  } else {
    for (std::size_t i = 0; i + 16 < size; i += 16) fold(text.data() + i, i);
    fold(text.data() + size - 16, size - 16);
  }
  return _mm_movemask_epi8(all) == 0;
#else
  unsigned char all = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    all |= static_cast<unsigned char>(text[i]);
    to[i] = ascii_lower(text[i]);
    if (text[i] == '@') at = i;
  }
  return all < 0x80;
#endif
}

void append_lower(NormalisedAddress& out, std::string_view text) {
  for (const char c : text) out.bytes[out.size++] = ascii_lower(c);
}

}  // namespace

namespace {

enum class Plain { good, bad, unsure };

// Nearly every address: ASCII, unquoted, folded; the others are `unsure`.
[[gnu::always_inline]] inline Plain normalise_plain(std::string_view raw,
                                                    const AddressOptions& options,
                                                    NormalisedAddress& out) {
  out.size = out.at = 0;
  std::size_t size = raw.size();
  if (size == 0 || size > limits::kAddressBytesMax) return Plain::bad;
  if (raw[0] == '"' || !options.fold_local_part) return Plain::unsure;
  std::size_t at = 0;
  if (!fold_ascii(raw, out.bytes, at)) return Plain::unsure;
  if (at == kNoAt) {
    out.size = out.at = static_cast<std::uint32_t>(size);
    return Plain::good;
  }
  out.at = static_cast<std::uint32_t>(at);
  if (at == 0) return Plain::bad;
  while (size > at + 1 && out.bytes[size - 1] == '.') --size;
  out.size = static_cast<std::uint32_t>(size);
  return size > at + 1 ? Plain::good : Plain::bad;  // else "a@b@." would share its key with a@b
}

}  // namespace

bool normalise_address(std::string_view raw, const AddressOptions& options,
                       NormalisedAddress& out) {
  const Plain quick = normalise_plain(raw, options, out);
  if (quick != Plain::unsure) return quick == Plain::good;
  const std::size_t at = raw.rfind('@');
  const std::string_view local = at == std::string_view::npos ? raw : raw.substr(0, at);
  std::string_view domain = at == std::string_view::npos ? std::string_view{} : raw.substr(at + 1);
  if (local.empty()) return false;
  while (!domain.empty() && domain.back() == '.') domain.remove_suffix(1);
  if (at != std::string_view::npos && domain.empty()) return false;

  char plain[limits::kAddressBytesMax];
  std::size_t plain_size = 0;
  std::string_view local_text = local;
  if (local.front() == '"' && unquote(local, plain, plain_size)) local_text = {plain, plain_size};
  if (options.fold_local_part) {
    append_lower(out, local_text);
  } else {
    std::memcpy(out.bytes, local_text.data(), local_text.size());
    out.size = static_cast<std::uint32_t>(local_text.size());
  }
  out.at = out.size;
  if (domain.empty()) return true;
  out.bytes[out.size++] = '@';
  if (has_high_bit(domain)) {
    std::string encoded;
    if (to_a_labels(domain, encoded) && out.size + encoded.size() <= sizeof out.bytes) {
      while (!encoded.empty() && encoded.back() == '.') encoded.pop_back();  // U+3002 is a dot, too
      append_lower(out, encoded);
      return true;
    }
  }
  append_lower(out, domain);
  return true;
}

std::string normalise_domain(std::string_view raw) {
  while (!raw.empty() && raw.back() == '.') raw.remove_suffix(1);
  std::string encoded;
  if (has_high_bit(raw) && to_a_labels(raw, encoded)) {
    while (!encoded.empty() && encoded.back() == '.') encoded.pop_back();
    return ascii_lower(encoded);
  }
  return ascii_lower(raw);
}

bool AddressHasher::address(std::string_view raw, NormalisedAddress& normal, AddressId& id) const {
  const Plain plain = normalise_plain(raw, options_, normal);
  if (plain == Plain::bad) return false;
  if (plain == Plain::unsure && !normalise_address(raw, options_, normal)) return false;
  id = hash128_inline(normal.text(), secret_);
  return true;
}

bool AddressHasher::ids(std::string_view raw, AddressId& address, AddressId& domain) const {
  NormalisedAddress normal;
  if (!this->address(raw, normal, address)) return false;
  domain = domain_id(normal.domain());
  return true;
}

AddressId AddressHasher::address_id(const NormalisedAddress& address) const {
  return hash128(address.text(), secret_);
}

AddressId AddressHasher::normal_id(std::string_view address) const {
  return hash128_inline(address, secret_);
}

// A domain's text has no '@', so that it never equals an address's; a bare local part could equal
// a domain, hence the swapped halves.
AddressId AddressHasher::domain_id(std::string_view normalised_domain) const {
  const AddressId id = hash128(normalised_domain, secret_);
  return {id.lo, id.hi};
}

}  // namespace bounced
