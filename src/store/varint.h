// Varints (LEB128) for stored values: small numbers take one byte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bounced::store {

inline void append_varint(std::string& out, std::uint64_t v) {
  while (v >= 0x80) {
    out.push_back(static_cast<char>(v | 0x80));
    v >>= 7;
  }
  out.push_back(static_cast<char>(v));
}

/// Takes one varint off the front of `in`; false (and `in` unchanged) when it is cut or overlong.
inline bool read_varint(std::string_view& in, std::uint64_t& out) {
  std::uint64_t v = 0;
  for (std::size_t i = 0; i < in.size() && i < 10; ++i) {
    const auto byte = static_cast<unsigned char>(in[i]);
    if (i == 9 && byte > 1) return false;
    v |= std::uint64_t{byte & 0x7fu} << (7 * i);
    if ((byte & 0x80) == 0) {
      in.remove_prefix(i + 1);
      out = v;
      return true;
    }
  }
  return false;
}

/// Signed numbers: the sign goes to the lowest bit, so that small negatives stay short.
inline std::uint64_t zigzag(std::int64_t v) {
  return (static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63);
}
inline std::int64_t unzigzag(std::uint64_t v) {
  return static_cast<std::int64_t>(v >> 1) ^ -static_cast<std::int64_t>(v & 1);
}

}  // namespace bounced::store
