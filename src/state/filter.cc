#include "state/filter.h"

#include <algorithm>

namespace bounced::state {
namespace {

constexpr int kProbes = 6;
constexpr std::size_t kBitsPerKey = 12;

std::size_t line_of(const AddressId& id, std::size_t lines) {
  return static_cast<std::size_t>((id.hi >> 32) * lines >> 32);
}

}  // namespace

void Filter::reserve(std::size_t keys) {
  next_room_ = std::max(next_room_, keys);
}

void Filter::add(const AddressId& id) {
  if (maybe(id)) return;
  if (layers_.empty() || layers_.back().room == 0) {
    layers_.push_back({std::vector<Line>(next_room_ * kBitsPerKey / 512 + 1), next_room_});
    next_room_ *= 2;
  }
  Layer& layer = layers_.back();
  --layer.room;
  ++count_;
  Line& line = layer.lines[line_of(id, layer.lines.size())];
  std::uint64_t bits = id.lo;
  for (int i = 0; i < kProbes; ++i, bits >>= 9) {
    line.words[bits >> 6 & 7] |= std::uint64_t{1} << (bits & 63);
  }
}

bool Filter::maybe(const AddressId& id) const {
  for (const Layer& layer : layers_) {
    const Line& line = layer.lines[line_of(id, layer.lines.size())];
    std::uint64_t bits = id.lo;
    std::uint64_t all = 1;
    for (int i = 0; i < kProbes; ++i, bits >>= 9) {
      all &= line.words[bits >> 6 & 7] >> (bits & 63);
    }
    if ((all & 1) != 0) return true;
  }
  return false;
}

std::size_t Filter::bytes() const {
  std::size_t n = 0;
  for (const Layer& layer : layers_) n += layer.lines.size() * sizeof(Line);
  return n;
}

}  // namespace bounced::state
