// postfix: the format row "postfix" (logs of Postfix 2.x..3.12 behind any syslog header).
#pragma once

#include "parse/parse.h"

namespace bounced::parse {

int probe_postfix(std::string_view head);
void parse_postfix(const Context& context, Batch& batch);
std::vector<Field> explain_postfix(const Context& context, std::string_view line);

}  // namespace bounced::parse
