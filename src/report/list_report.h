// Report of many addresses: `list`, and what `unblock` with filters would lift.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/result.h"
#include "report/format.h"
#include "state/address_state.h"
#include "state/state.h"

namespace bounced::report {

/// All conditions must hold; what is empty does not ask.
struct ListFilter {
  /// Bit per BlockKind: a live block of one of these kinds. 0 = addresses without a block, too.
  std::uint32_t kinds = ~std::uint32_t{0};
  std::string cause;  ///< "mailbox.full", or a family: "mailbox"
  Category category = Category::none;
  std::string domain;                 ///< the address's domain, or one above it
  std::string provider;               ///< suffix of the last answering host, or one label of it
  std::int64_t since_us = INT64_MIN;  ///< of the block's begin (without block: of the last failure)
  std::int64_t until_us = INT64_MAX;  ///< exclusive
  std::uint32_t streak_min = 0;       ///< failures in a row
  bool domains = false;               ///< records of domains instead of addresses
};

/// "dead", "soft", ..., "temporary" (soft, incident), "permanent" (the others), "any", or several
/// with commas.
bool parse_block_kinds(std::string_view text, std::uint32_t& kinds);

struct ListRow {
  AddressId id;
  state::AddressState state;
  state::BlockRecord block;                ///< strictest that matched; kind none without one
  std::vector<state::BlockRecord> blocks;  ///< all that matched
  std::vector<state::Evidence> evidence;   ///< newest first; only when it was asked for
};

/// Visits matching records while `visit` returns true, each address once, in the order of kinds and
/// keys. Memory: one chunk of rows. `with_evidence` costs one more read a row.
Result<void> list_addresses(const Context& context, const ListFilter& filter, bool with_evidence,
                            const std::function<bool(const ListRow&)>& visit);

/// Writes the rows as they come; returns how many there were.
Result<std::uint64_t> write_list(const Context& context, const ListFilter& filter, Format format,
                                 const Sink& sink);

}  // namespace bounced::report
