#include "store/write_set.h"

#include <cassert>
#include <cstring>

namespace bounced::store {

void WriteSet::append(Family family, std::string_view key, std::string_view value, bool erase) {
  assert(!key.empty() && key.size() <= UINT16_MAX && value.size() <= UINT32_MAX);
  Part& part = parts_[static_cast<std::size_t>(family)];
  const std::size_t offset = part.arena.size();
  // insert() from pointers, not resize(): no zeroing of bytes that are overwritten at once.
  part.arena.insert(part.arena.end(), key.begin(), key.end());
  part.arena.insert(part.arena.end(), value.begin(), value.end());
  part.entries.push_back(Entry{offset, static_cast<std::uint32_t>(value.size()),
                               static_cast<std::uint16_t>(key.size()), erase});
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
