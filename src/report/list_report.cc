#include "report/list_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/address.h"
#include "base/text.h"
#include "base/time.h"
#include "report/address_report.h"
#include "report/event_view.h"
#include "state/decide.h"

namespace bounced::report {
namespace {

constexpr std::size_t kChunk = 512;
constexpr std::uint32_t kTemporary =
    1u << static_cast<unsigned>(BlockKind::soft) | 1u << static_cast<unsigned>(BlockKind::incident);
constexpr std::uint32_t kAll = (1u << kBlockKinds) - 2;  // all but none

std::uint32_t bit(BlockKind kind) {
  return 1u << static_cast<unsigned>(kind);
}

/// "mailbox.full" by itself or by its family "mailbox".
bool cause_matches(std::string_view id, std::string_view wanted) {
  return id == wanted || (id.size() > wanted.size() && id.substr(0, wanted.size()) == wanted &&
                          id[wanted.size()] == '.');
}

bool provider_matches(std::string_view host, std::string_view wanted) {
  if (domain_matches(host, wanted)) return true;
  if (wanted.find('.') != std::string_view::npos) return false;
  for (std::size_t at = 0; at <= host.size();) {
    const std::size_t dot = std::min(host.find('.', at), host.size());
    if (iequals(host.substr(at, dot - at), wanted)) return true;
    at = dot + 1;
  }
  return false;
}

class Lister {
 public:
  Lister(const Context& context, const ListFilter& filter, bool with_evidence,
         const std::function<bool(const ListRow&)>& visit)
      : context_(context),
        filter_(filter),
        with_evidence_(with_evidence || !filter.provider.empty() ||
                       filter.category != Category::none),
        domain_(filter.domain.empty() ? std::string() : normalise_domain(filter.domain)),
        visit_(visit) {}

  Result<void> run() {
    if ((filter_.kinds & kAll) == 0) return scan_states();
    for (unsigned kind = 1; kind < kBlockKinds && !stopped_; ++kind) {
      if ((filter_.kinds & (1u << kind)) == 0) continue;
      if (auto ok = scan_kind(static_cast<BlockKind>(kind)); !ok) return ok;
    }
    return {};
  }

 private:
  /// Keys of a kind in chunks, whose states one MultiGet fetches.
  Result<void> scan_kind(BlockKind kind) {
    std::string prefix;
    store::append_u8(prefix, static_cast<std::uint8_t>(kind));
    std::vector<std::string> keys;
    Result<void> status;
    auto scanned = context_.store.scan(store::Family::by_block, prefix, {},
                                       [&](std::string_view key, std::string_view) {
                                         key.remove_prefix(1);
                                         if ((key.size() > 16) == filter_.domains)
                                           keys.emplace_back(key);
                                         if (keys.size() < kChunk) return true;
                                         status = take(keys, kind);
                                         return status.has_value() && !stopped_;
                                       });
    if (!scanned) return scanned;
    if (!status) return status;
    return stopped_ ? Result<void>{} : take(keys, kind);
  }

  Result<void> take(std::vector<std::string>& keys, BlockKind kind) {
    const std::vector<std::string_view> views(keys.begin(), keys.end());
    std::vector<std::optional<std::string>> values;
    if (auto ok = context_.store.multi_get(store::Family::address, views, values); !ok) return ok;
    for (std::size_t i = 0; i < keys.size() && !stopped_; ++i) {
      if (!values[i].has_value()) continue;  // changed since the scan began
      if (auto ok = consider(keys[i], *values[i], kind); !ok) return ok;
    }
    keys.clear();
    return {};
  }

  Result<void> scan_states() {
    Result<void> status;
    auto scanned = context_.store.scan(store::Family::address, {}, {},
                                       [&](std::string_view key, std::string_view value) {
                                         if ((key.size() > 16) != filter_.domains) return true;
                                         status = consider(key, value, BlockKind::none);
                                         return status.has_value() && !stopped_;
                                       });
    if (!scanned) return scanned;
    return status;
  }

  /// `kind`: the index entry by which we came, none for a scan of all states.
  Result<void> consider(std::string_view key, std::string_view value, BlockKind kind) {
    auto state = state::decode(value);
    if (!state) return tl::unexpected<Error>(state.error());
    ListRow row;
    row.id = store::read_id(key.data());
    row.state = std::move(*state);
    if (!cheap_match(row)) return {};
    if (with_evidence_) {
      auto evidence = read_evidence(context_.store, row.id);
      if (!evidence) return tl::unexpected<Error>(evidence.error());
      row.evidence = std::move(*evidence);
    }
    if (!filter_.provider.empty() && !answered_by_provider(row)) return {};
    if (kind == BlockKind::none) {
      if (!state_matches(row)) return {};
    } else if (!choose_block(row, kind)) {
      return {};
    }
    stopped_ = !visit_(row);
    return {};
  }

  [[nodiscard]] bool cheap_match(const ListRow& row) const {
    const std::string_view text = row.state.text;
    if (!domain_.empty() && !domain_matches(filter_.domains ? text : raw_domain(text), domain_)) {
      return false;
    }
    return filter_.streak_min == 0 || state::streak(row.state).count >= filter_.streak_min;
  }

  [[nodiscard]] bool answered_by_provider(const ListRow& row) const {
    for (const state::Evidence& evidence : row.evidence) {
      if (!evidence.mta_host.empty()) return provider_matches(evidence.mta_host, filter_.provider);
    }
    return false;
  }

  [[nodiscard]] bool block_matches(const state::BlockRecord& block, const ListRow& row) const {
    if ((filter_.kinds & bit(block.kind)) == 0) return false;
    if (block.until_us != 0 && block.until_us <= context_.now_us) return false;
    if (block.since_us < filter_.since_us || block.since_us >= filter_.until_us) return false;
    const auto cause = static_cast<Cause>(block.cause);
    if (!filter_.cause.empty() && !cause_matches(cause_id(context_.rules, cause), filter_.cause)) {
      return false;
    }
    return filter_.category == Category::none ||
           block_category(block, row.evidence, context_.rules) == filter_.category;
  }

  /// An address with blocks of several kinds shows where the first of them that matches is listed.
  bool choose_block(ListRow& row, BlockKind kind) const {
    BlockKind first = BlockKind::none;
    for (const state::BlockRecord& block : row.state.blocks) {
      if (!block_matches(block, row)) continue;
      row.blocks.push_back(block);
      if (first == BlockKind::none || block.kind < first) {
        first = block.kind;
        row.block = block;
      }
    }
    return first == kind;
  }

  [[nodiscard]] bool state_matches(ListRow& row) const {
    const state::BlockRecord live = state::effective_block(row.state, context_.now_us);
    row.block = live;
    if (row.state.failures.empty()) {
      return filter_.cause.empty() && filter_.category == Category::none &&
             filter_.since_us == INT64_MIN && filter_.until_us == INT64_MAX;
    }
    const state::FailureRecord& last = row.state.failures.back();
    if (last.time_us < filter_.since_us || last.time_us >= filter_.until_us) return false;
    const auto cause = static_cast<Cause>(last.cause);
    if (!filter_.cause.empty() && !cause_matches(cause_id(context_.rules, cause), filter_.cause)) {
      return false;
    }
    if (filter_.category == Category::none) return true;
    state::BlockRecord as_block;
    as_block.cause = last.cause;
    return block_category(as_block, row.evidence, context_.rules) == filter_.category;
  }

  const Context& context_;
  const ListFilter& filter_;
  bool with_evidence_;
  std::string domain_;
  const std::function<bool(const ListRow&)>& visit_;
  bool stopped_ = false;
};

Cause cause_of(const ListRow& row) {
  if (row.block.kind != BlockKind::none) return static_cast<Cause>(row.block.cause);
  if (row.state.failures.empty()) return Cause::none;
  return static_cast<Cause>(row.state.failures.back().cause);
}

// The address comes last: all columns before it have a width that is known beforehand, so that rows
// can be written as they come.
constexpr std::string_view kTableHead =
    "block        cause                     since                 until                 streak  "
    "address\n";

std::string seconds(std::int64_t time_us) {
  return format_time(time_us - (time_us % kSecondUs + kSecondUs) % kSecondUs);
}

std::string table_row(const ListRow& row, const Context& context) {
  const bool blocked = row.block.kind != BlockKind::none;
  return fmt::format("{:<11}  {:<24}  {:<20}  {:<20}  {:>6}  {}\n",
                     blocked ? to_string(row.block.kind) : "-",
                     printable(cause_id(context.rules, cause_of(row))),
                     blocked ? seconds(row.block.since_us) : "-",
                     blocked && row.block.until_us != 0 ? seconds(row.block.until_us) : "-",
                     state::streak(row.state).count, printable(row.state.text));
}

constexpr std::string_view kCsvHead[] = {
    "address", "block",     "scope",     "cause",     "category", "since", "until",
    "streak",  "last_time", "last_kind", "smtp_code", "enhanced", "mta",   "diagnostic"};

std::string csv_row(const ListRow& row, const Context& context) {
  std::vector<std::string> fields;
  const bool blocked = row.block.kind != BlockKind::none;
  fields.push_back(row.state.text);
  fields.emplace_back(blocked ? to_string(row.block.kind) : std::string_view{});
  fields.emplace_back(blocked ? to_string(row.block.scope) : std::string_view{});
  const Cause cause = cause_of(row);
  fields.emplace_back(cause_id(context.rules, cause));
  state::BlockRecord block = row.block;
  block.cause = static_cast<std::uint16_t>(cause);
  const Category category = block_category(block, row.evidence, context.rules);
  fields.emplace_back(category == Category::none ? std::string_view{} : to_string(category));
  fields.push_back(blocked ? format_time(row.block.since_us) : std::string());
  fields.push_back(row.block.until_us != 0 ? format_time(row.block.until_us) : std::string());
  fields.push_back(std::to_string(state::streak(row.state).count));
  if (row.evidence.empty()) {
    fields.resize(std::size(kCsvHead));
  } else {
    const state::Evidence& last = row.evidence.front();
    fields.push_back(format_time(last.time_us));
    fields.emplace_back(to_string(last.kind));
    fields.push_back(last.smtp_code == 0 ? std::string() : std::to_string(last.smtp_code));
    std::string enhanced;
    if (last.enhanced.present()) append_enhanced(enhanced, last.enhanced);
    fields.push_back(std::move(enhanced));
    fields.push_back(last.mta_host);
    fields.push_back(last.diagnostic);
  }
  std::string out;
  append_csv_row(out, {fields.begin(), fields.end()});
  return out;
}

}  // namespace

bool parse_block_kinds(std::string_view text, std::uint32_t& kinds) {
  std::uint32_t mask = 0;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string_view word = trim(text.substr(at, comma - at));
    BlockKind kind = BlockKind::none;
    if (word == "any") {
      mask |= kAll;
    } else if (word == "temporary") {
      mask |= kTemporary;
    } else if (word == "permanent") {
      mask |= kAll & ~kTemporary;
    } else if (from_string(word, kind) && kind != BlockKind::none) {
      mask |= bit(kind);
    } else {
      return false;
    }
    at = comma + 1;
  }
  kinds = mask;
  return true;
}

Result<void> list_addresses(const Context& context, const ListFilter& filter, bool with_evidence,
                            const std::function<bool(const ListRow&)>& visit) {
  return Lister(context, filter, with_evidence, visit).run();
}

Result<std::uint64_t> write_list(const Context& context, const ListFilter& filter, Format format,
                                 const Sink& sink) {
  if (format == Format::table) sink(kTableHead);
  if (format == Format::csv) {
    std::string head;
    append_csv_row(head, {std::begin(kCsvHead), std::end(kCsvHead)});
    sink(head);
  }
  std::uint64_t rows = 0;
  auto done = list_addresses(context, filter, format != Format::table, [&](const ListRow& row) {
    ++rows;
    if (format == Format::table) {
      sink(table_row(row, context));
    } else if (format == Format::csv) {
      sink(csv_row(row, context));
    } else {
      AddressFacts facts;
      facts.id = row.id;
      facts.address = row.state.text;
      facts.state = row.state;
      facts.evidence = row.evidence;
      std::string line;
      append_address_json(line, facts, context, false);
      sink(line);
    }
    return true;
  });
  if (!done) return tl::unexpected<Error>(done.error());
  return rows;
}

}  // namespace bounced::report
