// Key codecs: big-endian numbers, so that byte order is numeric order.
#include <cstring>

#include "store/store.h"

namespace bounced::store {

void append_u8(std::string& out, std::uint8_t v) {
  out.push_back(static_cast<char>(v));
}

void append_u32_be(std::string& out, std::uint32_t v) {
  v = __builtin_bswap32(v);
  char bytes[sizeof v];
  std::memcpy(bytes, &v, sizeof v);
  out.append(bytes, sizeof v);
}

void append_u64_be(std::string& out, std::uint64_t v) {
  v = __builtin_bswap64(v);
  char bytes[sizeof v];
  std::memcpy(bytes, &v, sizeof v);
  out.append(bytes, sizeof v);
}

void append_id(std::string& out, const AddressId& id) {
  append_u64_be(out, id.hi);
  append_u64_be(out, id.lo);
}

std::uint32_t read_u32_be(const char* p) {
  std::uint32_t v = 0;
  std::memcpy(&v, p, sizeof v);
  return __builtin_bswap32(v);
}

std::uint64_t read_u64_be(const char* p) {
  std::uint64_t v = 0;
  std::memcpy(&v, p, sizeof v);
  return __builtin_bswap64(v);
}

AddressId read_id(const char* p) {
  return {read_u64_be(p), read_u64_be(p + 8)};
}

}  // namespace bounced::store
