// exim: the format row "exim" (Exim 4's mainlog with any log_selector, as a file or through syslog;
// rejectlog and paniclog make no events).
#pragma once

#include <optional>

#include "parse/parse.h"

namespace bounced::parse {

int probe_exim(std::string_view head);
void parse_exim(const Context& context, Batch& batch);
std::vector<Field> explain_exim(const Context& context, std::string_view line);

/// As read_line_head(), of a line that begins with Exim's own stamp or comes from its syslog.
std::optional<LineHead> read_exim_head(std::string_view line);

/// Size of the message id at p: 16 bytes, or 23 since Exim 4.97; 0 = none. It ends at a blank or at
/// `end`.
std::size_t exim_id_size(const char* p, const char* end);

}  // namespace bounced::parse
