// batch_lists: what every parser of a block puts into its batch beside events: short lists of
// names, and what became of the lines.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/address.h"
#include "base/batch.h"
#include "parse/name_slots.h"

namespace bounced::parse {

inline constexpr std::size_t kOriginsMax = 65'000;  ///< Event::origin is 16 bits

/// What became of a line; see ParseCounts.
enum class LineUse : std::uint8_t { used, ignored, unparsed, foreign };

/// Counts a line that begins at `offset` of its source.
inline void count_line(Batch& batch, LineUse use, std::uint64_t offset) {
  switch (use) {
    case LineUse::used:
      break;
    case LineUse::ignored:
      ++batch.counts.ignored;
      break;
    case LineUse::foreign:
      ++batch.counts.foreign;
      break;
    case LineUse::unparsed:
      ++batch.counts.unparsed;
      if (batch.sample_unparsed < 0) batch.sample_unparsed = static_cast<std::int64_t>(offset);
      break;
  }
}

/// Sets the event's domain and its id: listed now, with the Text that `text()` gives, if it was
/// not. 0 = no domain, or there is no room. `name` is normalised, so that equal names are equal
/// ids.
template <class MakeText>
BOUNCED_HOT void set_domain(Batch& batch, NameTable& domains, const AddressHasher& hasher,
                            const Name& name, Event& event, MakeText text) {
  const auto same_long = [&](std::uint16_t number) {
    return batch.domains[number - 1u].id == hasher.domain_id(name.text);
  };
  event.domain = name.text.empty() ? std::uint16_t{0} : domains.find(name, same_long);
  if (event.domain != 0) {
    event.domain_id = batch.domains[event.domain - 1u].id;
    return;
  }
  event.domain_id = hasher.domain_id(name.text);
  if (name.text.empty() || !domains.has_room() || batch.domains.size() >= NameTable::kNamesMax) {
    return;
  }
  batch.domains.push_back({event.domain_id, text()});
  event.domain = static_cast<std::uint16_t>(batch.domains.size());
  domains.add(name, event.domain);
}

/// The host's number by its bytes: listed now if it was not, and then `listed` is told the number.
/// 0 = no host, or there is no room.
template <class Listed>
BOUNCED_HOT std::uint16_t number_of_host(Batch& batch, NameTable& hosts, const Name& name,
                                         Text text, Listed listed) {
  if (name.text.empty()) return 0;
  const auto same_long = [&](std::uint16_t number) {
    return batch.view(batch.hosts[number - 1u]) == name.text;
  };
  const std::uint16_t known = hosts.find(name, same_long);
  if (known != 0) return known;
  if (!hosts.has_room() || batch.hosts.size() >= NameTable::kNamesMax) return 0;
  batch.hosts.push_back(text);
  const std::size_t number = batch.hosts.size();
  hosts.add(name, number);
  listed(number);
  return static_cast<std::uint16_t>(number);
}

}  // namespace bounced::parse
