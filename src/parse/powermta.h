// powermta: PowerMTA's accounting files, CSV whose first line names the columns (its User's Guide,
// "Accounting").
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "parse/parse.h"

namespace bounced::parse {

int probe_powermta(std::string_view head);
/// The columns are those of Block::first_line, or of a header line in the block; without either,
/// those that PowerMTA writes unless told otherwise.
void parse_powermta(const Context& context, Batch& batch);
std::vector<Field> explain_powermta(const Context& context, std::string_view line);
/// Of a record whose time is its second column, as is usual.
std::optional<LineHead> powermta_head(std::string_view line);

}  // namespace bounced::parse
