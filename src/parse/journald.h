// journald: the journal as `journalctl -o json` and `journalctl -o export` write it; what the MTAs
// said in it goes to their own parsers.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "parse/parse.h"

namespace bounced::parse {

int probe_journald(std::string_view head);
/// JSON objects, one a line, or records of FIELD=VALUE lines that end with an empty line
/// (systemd's "Journal Export Formats"); a block holds whole records. All messages of a block are
/// of one MTA.
void parse_journald(const Context& context, Batch& batch);
std::vector<Field> explain_journald(const Context& context, std::string_view line);

}  // namespace bounced::parse
