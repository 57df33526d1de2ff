// Report of one address (or domain): may it be mailed, why not, until when, in whose words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/result.h"
#include "report/format.h"
#include "state/address_state.h"
#include "state/state.h"

namespace bounced::report {

/// What the store knows of one address or domain.
struct AddressFacts {
  AddressId id;
  std::string address;                              ///< clear text, as first seen
  state::AddressState state;                        ///< empty() when only its domain is known
  std::vector<state::Evidence> evidence;            ///< newest first
  std::optional<state::AddressState> domain_state;  ///< the domain's own record
};

/// Looks an address (as typed; a name without @ is a domain first) up by its normalised form.
/// nullopt: nothing is known of it, which means that it may be mailed.
Result<std::optional<AddressFacts>> find_address(const Context& context, std::string_view address);

/// Newest first; empty when there is none.
Result<std::vector<state::Evidence>> read_evidence(const store::Store& store, const AddressId& id);

/// When a campaign may be sent again to a recipient whose last failures were soft (DESIGN section
/// 5, retry table). The clock starts at the first final failure in a row.
struct RetryAdvice {
  enum class Kind : std::uint8_t {
    none,    ///< nothing to say: delivered since, hard, or not the recipient's trouble
    resend,  ///< between earliest and latest, at most attempts_left times
    over,    ///< the table's tries or time are used up
    wait,    ///< greylisted: the MTA's own retries are all it takes
    stop,    ///< listed: stop the stream, find the cause, request delisting
  };
  Kind kind = Kind::none;
  std::int64_t earliest_us = 0, latest_us = 0;
  std::uint32_t attempts_left = 0;
  std::uint32_t interval_hours_min = 0, interval_hours_max = 0;
};
std::string_view to_string(RetryAdvice::Kind kind);
/// Pure.
RetryAdvice retry_advice(const state::AddressState& state, std::int64_t now_us);

/// Appends the object of `address show --json` and a newline; `history` as `show` has it.
void append_address_json(std::string& out, const AddressFacts& facts, const Context& context,
                         bool history);
/// Appends the readable form: several lines.
void append_address_text(std::string& out, const AddressFacts& facts, const Context& context);

/// Name of whom a block stops: tenant, stream or sending domain; empty for global ones.
std::string_view scope_name(const state::BlockRecord& block, const store::Names& names);

/// Category of a block: by what was said of its cause where that is known.
Category block_category(const state::BlockRecord& block,
                        const std::vector<state::Evidence>& evidence, const RuleSet& rules);

}  // namespace bounced::report
