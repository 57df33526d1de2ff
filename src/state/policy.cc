// load_policy: rules/policy.toml -> Policy. Every mistake is named with file and line.
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/embedded.h"
#include "base/text.h"
#include "base/time.h"
#include "bounced/cause.h"
#include "bounced/policy.h"
#include "state/state.h"

namespace bounced {
extern const std::span<const EmbeddedFile> policy_files;
}

namespace bounced::state {
namespace {

constexpr std::string_view kForever = "forever";

/// Collects the first error; every reader below does nothing once there is one.
class Reader {
 public:
  explicit Reader(std::string file) : file_(std::move(file)) {}

  void error(const toml::source_region& at, std::string why, std::string hint = {}) {
    if (error_) return;
    error_ = Error{ErrorCode::data, "policy",
                   file_ + ":" + std::to_string(static_cast<unsigned>(at.begin.line)),
                   std::move(why), std::move(hint)};
  }
  [[nodiscard]] bool failed() const { return error_.has_value(); }
  [[nodiscard]] const Error& first() const { return *error_; }

  /// Every key of `table` must be one of `known`.
  void keys(const toml::table& table, const std::vector<std::string_view>& known) {
    for (const auto& [key, node] : table) {
      bool found = false;
      for (const auto name : known) found = found || name == key.str();
      if (found) continue;
      const auto near = nearest(key.str(), known);
      error(key.source(), "unknown key '" + std::string(key.str()) + "'",
            near.empty() ? std::string() : "did you mean '" + std::string(near) + "'?");
    }
  }
  void integer(const toml::table& table, std::string_view key, std::int64_t low, std::int64_t high,
               std::uint32_t& out) {
    const auto* node = table.get(key);
    if (node == nullptr) return;
    const auto value = node->value_exact<std::int64_t>();
    if (!value || *value < low || *value > high) {
      return error(node->source(), std::string(key) + ": expected a whole number from " +
                                       std::to_string(low) + " to " + std::to_string(high));
    }
    out = static_cast<std::uint32_t>(*value);
  }
  void number(const toml::table& table, std::string_view key, double low, double high,
              double& out) {
    const auto* node = table.get(key);
    if (node != nullptr) number(*node, key, low, high, out);
  }
  void number(const toml::node& node, std::string_view key, double low, double high, double& out) {
    const auto value = node.value<double>();
    if (!value || !(*value >= low && *value <= high)) {
      return error(node.source(), std::string(key) + ": expected a number from " +
                                      fmt::format("{} to {}", low, high));
    }
    out = *value;
  }
  void duration(const toml::table& table, std::string_view key, std::int64_t& out) {
    const auto* node = table.get(key);
    if (node != nullptr) duration(*node, key, false, out);
  }
  void duration(const toml::node& node, std::string_view key, bool forever, std::int64_t& out) {
    const auto text = node.value_exact<std::string>();
    if (text && forever && *text == kForever) {
      out = 0;
      return;
    }
    const auto value = text ? parse_duration(*text) : Result<std::int64_t>(0);
    if (!text || !value || *value <= 0) {
      return error(node.source(), std::string(key) + ": expected a duration",
                   forever ? "such as \"180d\", or \"forever\"" : "such as \"24h\" or \"7d\"");
    }
    out = *value;
  }
  const toml::table* table(const toml::table& root, std::string_view key) {
    const auto* node = root.get(key);
    if (node == nullptr) return nullptr;
    if (node->as_table() == nullptr) error(node->source(), std::string(key) + ": expected a table");
    return node->as_table();
  }
  const toml::array* array(const toml::table& root, std::string_view key) {
    const auto* node = root.get(key);
    if (node == nullptr) return nullptr;
    if (node->as_array() == nullptr) error(node->source(), std::string(key) + ": expected a list");
    return node->as_array();
  }

 private:
  std::string file_;
  std::optional<Error> error_;
};

/// The causes that a policy may name, and the line that named each (0 = none).
class Seen {
 public:
  explicit Seen(std::span<const CauseInfo> causes) {
    for (std::uint16_t n = 1; n < kBuiltinCauses; ++n) {
      names_.push_back(builtin_cause_id(static_cast<Cause>(n)));
      numbers_.push_back(n);
    }
    for (const CauseInfo& info : causes) {
      const auto n = static_cast<std::uint16_t>(info.cause);
      if (n < kFirstCustomCause) continue;
      names_.push_back(info.id);
      numbers_.push_back(n);
    }
    lines_.resize(std::max<std::size_t>(kBuiltinCauses,
                                        numbers_.empty() ? 0 : numbers_.back() + std::size_t{1}));
  }
  [[nodiscard]] const std::vector<std::string_view>& names() const { return names_; }
  /// 0 when there is no such cause.
  [[nodiscard]] std::uint16_t number(std::string_view id) const {
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (names_[i] == id) return numbers_[i];
    }
    return 0;
  }
  [[nodiscard]] std::uint32_t& line(std::size_t number) { return lines_[number]; }

 private:
  std::vector<std::string_view> names_;
  std::vector<std::uint16_t> numbers_;  // ascending
  std::vector<std::uint32_t> lines_;
};

/// Where a cause's row is kept; grows for custom causes.
CausePolicy& row_at(Policy& policy, std::size_t number) {
  if (number < policy.causes.size()) return policy.causes[number];
  const std::size_t own = number - kFirstCustomCause;
  if (policy.custom.size() <= own) policy.custom.resize(own + 1);
  return policy.custom[own];
}

/// The built-in cause whose row a custom cause without one of its own takes; none: never counts.
Cause model_of(const CauseInfo& info) {
  const bool hard = info.bounce_class == BounceClass::hard;
  if (!hard && info.bounce_class != BounceClass::soft) return Cause::none;
  switch (info.fault) {
    case Fault::recipient:
      if (hard) return Cause::mailbox_unknown;
      return info.category_permanent == Category::mailbox_full ? Cause::mailbox_full
                                                               : Cause::mailbox_disabled;
    case Fault::domain:
      return hard ? Cause::domain_unknown : Cause::domain_down;
    case Fault::receiver:
    case Fault::network:
      return Cause::system_error;
    default:
      return Cause::none;  // our own trouble, our content, or nobody's: never the address's
  }
}

void read_causes(Reader& reader, const toml::table& table, const CausePolicy& row, Seen& seen,
                 Policy& policy) {
  const auto* list = reader.array(table, "causes");
  if (list == nullptr) return reader.error(table.source(), "causes: missing");
  for (const auto& node : *list) {
    const auto id = node.value_exact<std::string>();
    const std::size_t n = id ? seen.number(*id) : 0;
    if (n == 0) {
      const auto near = id ? nearest(*id, seen.names()) : std::string_view{};
      return reader.error(node.source(), "unknown cause '" + id.value_or("") + "'",
                          near.empty() ? "" : "did you mean '" + std::string(near) + "'?");
    }
    if (seen.line(n) != 0) {
      return reader.error(node.source(),
                          *id + " was already named in line " + std::to_string(seen.line(n)));
    }
    seen.line(n) = static_cast<std::uint32_t>(node.source().begin.line);
    row_at(policy, n) = row;
  }
}

void read_row(Reader& reader, const toml::table& table, Seen& seen, Policy& policy) {
  reader.keys(table, {"causes", "level", "block", "messages", "span", "confidence_min",
                      "messages_unsure", "span_unsure", "needs"});
  CausePolicy row;
  const auto level = table["level"].value<std::string>().value_or("");
  if (level != "address" && level != "domain") {
    const auto* node = table.get("level");
    return reader.error(node != nullptr ? node->source() : table.source(),
                        "level: expected \"address\" or \"domain\"");
  }
  row.level = level == "address" ? PolicyLevel::address : PolicyLevel::domain;
  const auto block = table["block"].value<std::string>().value_or("");
  if (!from_string(block, row.block) ||
      (row.block != BlockKind::dead && row.block != BlockKind::soft &&
       row.block != BlockKind::filtered)) {
    const auto* node = table.get("block");
    return reader.error(node != nullptr ? node->source() : table.source(),
                        "block: expected \"dead\", \"soft\" or \"filtered\"");
  }
  if (table.get("messages") == nullptr) return reader.error(table.source(), "messages: missing");
  reader.integer(table, "messages", 1, limits::kFailuresMax, row.messages);
  reader.integer(table, "messages_unsure", 1, limits::kFailuresMax, row.messages_unsure);
  std::uint32_t confidence = 0;
  reader.integer(table, "confidence_min", 0, 100, confidence);
  row.confidence_min = static_cast<std::uint8_t>(confidence);
  reader.duration(table, "span", row.span_us);
  reader.duration(table, "span_unsure", row.span_unsure_us);
  if (row.block == BlockKind::filtered && row.messages != 1) {
    return reader.error(table.source(), "messages: a filtered block takes exactly 1");
  }
  if (std::max(row.span_us, row.span_unsure_us) > 60 * kDayUs) {
    return reader.error(table.source(), "span: at most 60d", "older failures are not kept");
  }
  if (const auto* node = table.get("needs")) {
    const auto needs = node->value<std::string>().value_or("");
    row.needs_domain_alive = needs == "domain-alive";
    row.needs_domain_dead = needs == "domain-dead";
    if (!row.needs_domain_alive && !row.needs_domain_dead) {
      reader.error(node->source(), "needs: expected \"domain-alive\" or \"domain-dead\"");
    }
  }
  read_causes(reader, table, row, seen, policy);
}

void read_terms(Reader& reader, const toml::table& root, std::string_view key, BlockTerms& out) {
  const auto* table = reader.table(root, key);
  if (table == nullptr) return reader.error(root.source(), "[" + std::string(key) + "]: missing");
  reader.keys(*table, {"terms", "dead_from"});
  reader.integer(*table, "dead_from", 1, 100, out.dead_from);
  const auto* list = reader.array(*table, "terms");
  if (list == nullptr || list->empty() || list->size() > out.terms_us.size()) {
    return reader.error(table->source(), "terms: expected 1 to 4 durations");
  }
  for (const auto& node : *list) {
    reader.duration(node, "terms", true, out.terms_us[out.count]);
    ++out.count;
  }
}

void read_surroundings(Reader& reader, const toml::table& root, Policy& policy) {
  if (const auto* table = reader.table(root, "domain")) {
    reader.keys(*table, {"soft", "outage_domains_max"});
    reader.duration(*table, "soft", policy.domain_soft_us);
    reader.integer(*table, "outage_domains_max", 1, 15, policy.outage_domains_max);
  }
  if (const auto* table = reader.table(root, "incident")) {
    reader.keys(*table, {"length", "factor", "attempts_min", "confirm"});
    reader.duration(*table, "length", policy.incident_us);
    reader.number(*table, "factor", 1, 1000, policy.incident_factor);
    reader.integer(*table, "attempts_min", 1, 1'000'000, policy.incident_attempts_min);
    reader.duration(*table, "confirm", policy.incident_confirm_us);
  }
  if (const auto* table = reader.table(root, "late")) {
    reader.keys(*table, {"quiet"});
    if ((*table)["quiet"].value<std::string>() == "0s") {
      policy.late_quiet_us = 0;
    } else {
      reader.duration(*table, "quiet", policy.late_quiet_us);
    }
    if (policy.late_quiet_us > 30 * kDayUs) reader.error(table->source(), "quiet: at most 30d");
  }
  if (const auto* table = reader.table(root, "probation")) {
    reader.keys(*table, {"lease", "daily_fraction"});
    reader.duration(*table, "lease", policy.probation_lease_us);
    reader.number(*table, "daily_fraction", 0, 1, policy.probation_daily_fraction);
  }
  if (const auto* table = reader.table(root, "warn")) {
    reader.keys(*table, {"bounce_percent", "complaint_percent", "complaint_act_percent"});
    reader.number(*table, "complaint_percent", 0, 100, policy.complaint_warn_percent);
    reader.number(*table, "complaint_act_percent", 0, 100, policy.complaint_act_percent);
    const auto* list = reader.array(*table, "bounce_percent");
    if (list != nullptr && list->size() != 3) {
      return reader.error(list->source(), "bounce_percent: expected three numbers");
    }
    for (std::size_t i = 0; list != nullptr && i < 3; ++i) {
      reader.number(*list->get(i), "bounce_percent", 0, 100, policy.warn_bounce_percent[i]);
    }
  }
}

void read_all(Reader& reader, const toml::table& root, std::span<const CauseInfo> causes,
              Policy& policy) {
  reader.keys(root, {"preset", "count", "never", "dead", "soft", "domain", "incident", "late",
                     "probation", "warn"});
  policy.preset = root["preset"].value<std::string>().value_or("custom");
  policy.domain_soft_us = 30 * kDayUs;
  policy.incident_us = 7 * kDayUs;
  policy.incident_confirm_us = kDayUs;
  policy.late_quiet_us = 3 * kDayUs;
  policy.probation_lease_us = 5 * kDayUs;
  Seen seen(causes);
  if (const auto* rows = reader.array(root, "count")) {
    for (const auto& row : *rows) {
      if (row.as_table() == nullptr) return reader.error(row.source(), "count: expected a table");
      read_row(reader, *row.as_table(), seen, policy);
    }
  }
  if (const auto* never = reader.table(root, "never")) {
    reader.keys(*never, {"causes"});
    read_causes(reader, *never, CausePolicy{}, seen, policy);
  }
  read_terms(reader, root, "dead", policy.dead);
  read_terms(reader, root, "soft", policy.soft);
  read_surroundings(reader, root, policy);
  for (std::size_t n = 1; n < kBuiltinCauses; ++n) {
    if (seen.line(n) != 0) continue;
    reader.error(root.source(),
                 "cause '" + std::string(builtin_cause_id(static_cast<Cause>(n))) +
                     "' is in no [[count]] row",
                 "add it to a row, or to [never]");
  }
  for (const CauseInfo& info : causes) {
    const auto n = static_cast<std::size_t>(info.cause);
    if (n >= kFirstCustomCause && seen.line(n) == 0) row_at(policy, n) = policy.of(model_of(info));
  }
}

Result<Policy> parse_policy(std::string_view text, const std::string& file,
                            std::span<const CauseInfo> causes) {
  Reader reader(file);
  try {
    const toml::table root = toml::parse(text, file);
    Policy policy;
    read_all(reader, root, causes, policy);
    if (reader.failed()) return tl::unexpected<Error>(reader.first());
    return policy;
  } catch (const toml::parse_error& e) {
    return fail(ErrorCode::data, "policy",
                file + ":" + std::to_string(static_cast<unsigned>(e.source().begin.line)),
                std::string(e.description()));
  }
}

}  // namespace

Result<Policy> load_policy(const std::string& file, std::span<const CauseInfo> causes) {
  if (file.empty()) return parse_policy(policy_files[0].text, "rules/policy.toml", causes);
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  if (!in) {
    return fail(ErrorCode::io, "policy", file, "cannot be read", "check the path and its mode");
  }
  return parse_policy(text.str(), file, causes);
}

}  // namespace bounced::state
