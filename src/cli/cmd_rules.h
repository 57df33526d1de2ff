// The commands of `bounced rules` that have a file of their own.
#pragma once

#include "cli/app.h"

namespace bounced::cli {

void add_rules_test(CLI::App& rules, App& app);
void add_rules_unknown(CLI::App& rules, App& app);
void add_rules_bench(CLI::App& rules, App& app);

/// Rules of the configuration, nothing cached; `dir` (as typed; empty = none) takes the place of
/// the configured overrides.
Result<RuleSetOptions> rule_options(const App& app, const std::string& dir);

}  // namespace bounced::cli
