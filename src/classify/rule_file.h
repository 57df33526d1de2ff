// Rule files: TOML to Rule and CauseEntry, with every trouble named by file and line.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "bounced/classifier.h"
#include "classify/rule.h"

namespace bounced::classify {

/// Adds the contents of one file. `name` is shown in messages.
void read_rule_text(std::string_view text, const std::string& name, std::uint32_t precedence,
                    RuleFiles& out);

/// Reads everything that `options` names: built-in files or rules_dir, then operators' directories.
/// Only I/O trouble is an Error; what is wrong inside files is in RuleFiles::problems.
Result<RuleFiles> read_rule_files(const RuleSetOptions& options);

/// The first error among the problems, with how many more there are; nullopt when there is none.
std::optional<Error> first_error(const std::vector<Problem>& problems);

/// "550 5.1.1" style patterns; false when malformed.
bool parse_code_pattern(std::string_view text, CodePattern& out);
bool parse_enhanced_pattern(std::string_view text, EnhancedPattern& out);
bool parse_enhanced(std::string_view text, EnhancedCode& out);

}  // namespace bounced::classify
