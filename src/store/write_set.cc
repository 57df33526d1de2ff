#include "store/write_set.h"

#include <cassert>
#include <cstdint>
#include <cstring>
#include <utility>

namespace bounced::store {

char* WriteSet::begin_put(Family family, std::string_view key, std::size_t value_max) {
  assert(!key.empty() && key.size() <= UINT16_MAX && value_max <= UINT32_MAX);
  Part& part = parts_[static_cast<std::size_t>(family)];
  char* const bytes = part.arena.grow(key.size() + value_max);
  std::memcpy(bytes, key.data(), key.size());
  part.entries.append() = Entry{bytes, static_cast<std::uint32_t>(value_max),
                                static_cast<std::uint16_t>(key.size()), false};
  return bytes + key.size();
}

void WriteSet::end_put(Family family, const char* value_end) {
  Part& part = parts_[static_cast<std::size_t>(family)];
  Entry& entry = part.entries.back();
  const auto size = static_cast<std::uint32_t>(value_end - (entry.bytes + entry.key_size));
  assert(size <= entry.value_size);
  part.arena.shrink(entry.value_size - size);
  entry.value_size = size;
}

void WriteSet::take(WriteSet& other) {
  for (std::size_t f = 0; f < kFamilies; ++f) {
    Part& from = other.parts_[f];
    if (from.entries.empty()) continue;
    if (parts_[f].entries.empty()) {
      std::swap(parts_[f], from);
      continue;
    }
    for (const Entry& e : from.entries) {
      append(static_cast<Family>(f), e.key(), e.value(), e.erase);
    }
  }
  other.clear();
}

void WriteSet::append(Family family, std::string_view key, std::string_view value, bool erase) {
  char* const bytes = begin_put(family, key, value.size());
  if (!value.empty()) std::memcpy(bytes, value.data(), value.size());
  parts_[static_cast<std::size_t>(family)].entries.back().erase = erase;
}

std::size_t WriteSet::records() const {
  std::size_t n = 0;
  for (const Part& part : parts_) n += part.entries.size();
  return n;
}

std::size_t WriteSet::bytes() const {
  std::size_t n = 0;
  for (const Part& part : parts_) n += part.arena.size();
  return n;
}

void WriteSet::clear() {
  for (Part& part : parts_) {
    part.arena.clear();
    part.entries.clear();
  }
}

}  // namespace bounced::store
