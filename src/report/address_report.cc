#include "report/address_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/address.h"
#include "base/text.h"
#include "base/time.h"
#include "parse/parse.h"
#include "report/event_view.h"
#include "state/decide.h"

namespace bounced::report {
namespace {

/// Records of domains live beside those of addresses, with this behind their id.
constexpr char kDomainMark = 'D';

Result<std::optional<state::AddressState>> read_state(const store::Store& store,
                                                      const AddressId& id, bool domain) {
  std::string key;
  store::append_id(key, id);
  if (domain) key += kDomainMark;
  auto value = store.get(store::Family::address, key);
  if (!value) return tl::unexpected<Error>(value.error());
  if (!value->has_value()) return std::optional<state::AddressState>{};
  auto state = state::decode(**value);
  if (!state) return tl::unexpected<Error>(state.error());
  return std::optional<state::AddressState>(std::move(*state));
}

bool live(const state::BlockRecord& block, std::int64_t now_us) {
  return block.until_us == 0 || block.until_us > now_us;
}

EventView view_of(const state::Evidence& evidence, std::string_view address,
                  const store::Names& names) {
  EventView view;
  view.time_us = evidence.time_us;
  view.kind = evidence.kind;
  view.attempted = (evidence.flags & EventFlags::kNotAttempted) == 0;
  view.null_sender = (evidence.flags & EventFlags::kNullSender) != 0;
  view.recipient = address;
  view.sender = evidence.sender;
  view.queue_id = evidence.queue_id;
  view.message_id = evidence.message_id;
  view.mta_host = evidence.mta_host;
  view.mta_ip = evidence.mta_ip;
  view.mta_port = evidence.mta_port;
  view.sending_ip = evidence.sending_ip;
  view.campaign = evidence.campaign;
  view.tenant = names.text(store::Dictionary::tenant, evidence.tenant);
  view.stream = names.text(store::Dictionary::stream, evidence.stream);
  view.delay_ms = evidence.delay_ms;
  if (evidence.verdict.cause != Cause::none) view.hint = to_string(evidence.hint);
  view.phase = evidence.phase;
  view.smtp_code = evidence.smtp_code;
  view.enhanced = evidence.enhanced;
  view.diagnostic = evidence.diagnostic;
  view.source = names.text(store::Dictionary::source, evidence.source);
  view.offset = evidence.offset;
  const auto formats = parse::formats();
  if (evidence.format < formats.size()) view.format = formats[evidence.format].name;
  if (evidence.verdict.cause != Cause::none) view.verdict = &evidence.verdict;
  view.rule = evidence.rule;
  return view;
}

/// The newest failure as far as the state itself tells it, where no evidence is left.
void append_failure(std::string& out, const AddressFacts& facts, const Context& context) {
  const state::FailureRecord& failure = facts.state.failures.back();
  const bool expired = (failure.flags & state::FailureRecord::kExpired) != 0;
  const Verdict verdict =
      verdict_of(context.rules, static_cast<Cause>(failure.cause),
                 expired ? Severity::temporary : Severity::permanent, failure.confidence);
  EventView view;
  view.time_us = failure.time_us;
  view.kind = expired ? EventKind::expired : EventKind::bounced;
  view.recipient = facts.address;
  view.source = context.names.text(store::Dictionary::source, failure.source);
  view.offset = failure.position;
  view.verdict = &verdict;
  append_event_view(out, view, &context.rules);
}

void append_block_json(std::string& out, const state::BlockRecord& block, bool of_domain,
                       const AddressFacts& facts, const Context& context) {
  out += "{\"kind\":\"";
  out += to_string(block.kind);
  out += "\",\"scope\":\"";
  out += to_string(block.scope);
  out += '"';
  const auto text = [&](const char* key, std::string_view value) {
    if (value.empty()) return;
    out += fmt::format(",\"{}\":", key);
    append_json(out, value);
  };
  text("scope_name", scope_name(block, context.names));
  if (of_domain) out += ",\"level\":\"domain\"";
  text("cause", cause_id(context.rules, static_cast<Cause>(block.cause)));
  const Category category = block_category(block, facts.evidence, context.rules);
  if (category != Category::none) text("category", to_string(category));
  out += ",\"since\":";
  append_time_json(out, block.since_us);
  if (block.until_us != 0) {
    out += ",\"until\":";
    append_time_json(out, block.until_us);
  }
  text("actor", context.names.text(store::Dictionary::actor, block.actor));
  out += '}';
}

void append_blocks_json(std::string& out, const AddressFacts& facts, const Context& context) {
  out += ",\"blocks\":[";
  bool first = true;
  const auto add = [&](const state::AddressState& state, bool of_domain) {
    for (const state::BlockRecord& block : state.blocks) {
      if (!live(block, context.now_us)) continue;
      if (!first) out += ',';
      first = false;
      append_block_json(out, block, of_domain, facts, context);
    }
  };
  add(facts.state, false);
  if (facts.domain_state) add(*facts.domain_state, true);
  out += ']';
}

void append_retry_json(std::string& out, const RetryAdvice& retry) {
  if (retry.kind == RetryAdvice::Kind::none) return;
  out += fmt::format(",\"retry\":{{\"action\":\"{}\"", to_string(retry.kind));
  if (retry.kind == RetryAdvice::Kind::resend) {
    out += ",\"earliest\":";
    append_time_json(out, retry.earliest_us);
    out += ",\"latest\":";
    append_time_json(out, retry.latest_us);
    out += fmt::format(",\"attempts_left\":{},\"interval_hours\":[{},{}]", retry.attempts_left,
                       retry.interval_hours_min, retry.interval_hours_max);
  }
  out += '}';
}

/// Cause that the advice is about: that of the strictest live block, else of the last failure.
Cause current_cause(const AddressFacts& facts, std::int64_t now_us) {
  state::BlockRecord block = state::effective_block(facts.state, now_us);
  if (block.kind == BlockKind::none && facts.domain_state) {
    block = state::effective_block(*facts.domain_state, now_us);
  }
  if (block.kind != BlockKind::none && block.cause != 0) return static_cast<Cause>(block.cause);
  if (!facts.evidence.empty()) return facts.evidence.front().verdict.cause;
  if (!facts.state.failures.empty()) return static_cast<Cause>(facts.state.failures.back().cause);
  return Cause::none;
}

std::string until_text(const state::BlockRecord& block) {
  return block.until_us == 0 ? "for good" : "until " + format_time(block.until_us);
}

std::string words(const state::Evidence& evidence) {
  std::string line = format_time(evidence.time_us) + "  " + std::string(to_string(evidence.kind));
  if (!evidence.mta_host.empty()) line += " at " + evidence.mta_host;
  if (!evidence.diagnostic.empty()) line += ": " + evidence.diagnostic;
  return printable(line);
}

std::string retry_text(const RetryAdvice& retry) {
  switch (retry.kind) {
    case RetryAdvice::Kind::none:
      return {};
    case RetryAdvice::Kind::resend:
      return fmt::format("send again every {} to {} hours, {} more at most, from {} until {}",
                         retry.interval_hours_min, retry.interval_hours_max, retry.attempts_left,
                         format_time(retry.earliest_us), format_time(retry.latest_us));
    case RetryAdvice::Kind::over:
      return "no more: the tries or the time for it are used up";
    case RetryAdvice::Kind::wait:
      return "nothing to do: greylisted, the mail server tries again";
    case RetryAdvice::Kind::stop:
      return "stop the stream, find the cause, request delisting; then send again";
  }
  return {};
}

/// Retry table: what belongs to a soft cause.
struct RetryRow {
  RetryAdvice::Kind kind;
  std::uint32_t interval_hours_min, interval_hours_max, attempts_max;
  std::int64_t window_us;
};
RetryRow retry_row(Cause cause) {
  using Kind = RetryAdvice::Kind;
  switch (cause) {
    case Cause::mailbox_full:
    case Cause::mailbox_full_inactive:
      return {Kind::resend, 24, 48, 5, 72 * kHourUs};
    case Cause::domain_incomplete:
    case Cause::domain_dns_temp:
    case Cause::domain_down:
    case Cause::network_connection:
    case Cause::network_expired:
    case Cause::network_tls:
    case Cause::routing_error:
    case Cause::routing_loop:
    case Cause::system_error:
    case Cause::system_full:
      return {Kind::resend, 2, 4, 15, 7 * kDayUs};
    case Cause::rate_greylist:
      return {Kind::wait, 0, 0, 0, 0};
    case Cause::sender_ip_listed:
    case Cause::sender_domain_listed:
      return {Kind::stop, 0, 0, 0, 0};
    default:
      return {Kind::none, 0, 0, 0, 0};
  }
}

}  // namespace

std::string_view scope_name(const state::BlockRecord& block, const store::Names& names) {
  switch (block.scope) {
    case BlockScope::global:
      return {};
    case BlockScope::tenant:
      return names.text(store::Dictionary::tenant, block.scope_id);
    case BlockScope::stream:
      return names.text(store::Dictionary::stream, block.scope_id);
    case BlockScope::sending_domain:
      return names.text(store::Dictionary::domain, block.scope_id);
  }
  return {};
}

std::string_view to_string(RetryAdvice::Kind kind) {
  switch (kind) {
    case RetryAdvice::Kind::none:
      return "none";
    case RetryAdvice::Kind::resend:
      return "resend";
    case RetryAdvice::Kind::over:
      return "over";
    case RetryAdvice::Kind::wait:
      return "wait";
    case RetryAdvice::Kind::stop:
      return "stop";
  }
  return {};
}

RetryAdvice retry_advice(const state::AddressState& state, std::int64_t now_us) {
  RetryAdvice advice;
  if (state::effective_block(state, now_us).kind != BlockKind::none) return advice;
  const auto first = std::find_if(
      state.failures.begin(), state.failures.end(),
      [&](const state::FailureRecord& failure) { return failure.time_us > state.reset_us(); });
  if (first == state.failures.end()) return advice;
  const auto row = retry_row(static_cast<Cause>(state.failures.back().cause));
  advice.kind = row.kind;
  if (row.kind != RetryAdvice::Kind::resend) return advice;
  const auto tries = static_cast<std::uint32_t>(state.failures.end() - first) - 1;
  advice.interval_hours_min = row.interval_hours_min;
  advice.interval_hours_max = row.interval_hours_max;
  advice.attempts_left = tries >= row.attempts_max ? 0 : row.attempts_max - tries;
  advice.earliest_us = state.failures.back().time_us + row.interval_hours_min * kHourUs;
  advice.latest_us = first->time_us + row.window_us;
  if (advice.attempts_left == 0 || advice.earliest_us > advice.latest_us ||
      now_us > advice.latest_us) {
    advice.kind = RetryAdvice::Kind::over;
  }
  return advice;
}

Category block_category(const state::BlockRecord& block,
                        const std::vector<state::Evidence>& evidence, const RuleSet& rules) {
  const auto cause = static_cast<Cause>(block.cause);
  for (const state::Evidence& e : evidence) {
    if (e.verdict.cause == cause && e.verdict.category != Category::none) {
      return e.verdict.category;
    }
  }
  if (cause == Cause::none) return Category::none;
  const CauseInfo& info = cause_info(rules, cause);
  return info.temporary_by_nature ? info.category_temporary : info.category_permanent;
}

Result<std::vector<state::Evidence>> read_evidence(const store::Store& store, const AddressId& id) {
  std::string prefix;
  store::append_id(prefix, id);
  std::vector<state::Evidence> list;
  Result<void> status;
  auto scanned = store.scan(store::Family::evidence, prefix, {},
                            [&](std::string_view, std::string_view value) {
                              auto evidence = state::decode_evidence(value);
                              if (!evidence) {
                                status = tl::unexpected<Error>(evidence.error());
                                return false;
                              }
                              list.push_back(std::move(*evidence));
                              return true;
                            });
  if (!scanned) return tl::unexpected<Error>(scanned.error());
  if (!status) return tl::unexpected<Error>(status.error());
  std::stable_sort(list.begin(), list.end(),
                   [](const auto& a, const auto& b) { return a.time_us > b.time_us; });
  return list;
}

Result<std::optional<AddressFacts>> find_address(const Context& context, std::string_view address) {
  AddressOptions options;
  options.fold_local_part = context.store.fold_local_part();
  const AddressHasher hasher(context.store.secret(), options);
  AddressFacts facts;
  facts.address = address;
  AddressId domain;
  std::optional<state::AddressState> known;
  if (address.find('@') == std::string_view::npos) {
    facts.id = hasher.domain_id(normalise_domain(address));
    auto state = read_state(context.store, facts.id, true);
    if (!state) return tl::unexpected<Error>(state.error());
    known = std::move(*state);
  }
  if (!known) {
    if (!hasher.ids(address, facts.id, domain)) {
      return fail(ErrorCode::usage, "look up", printable(address), "not a mail address");
    }
    auto state = read_state(context.store, facts.id, false);
    if (!state) return tl::unexpected<Error>(state.error());
    known = std::move(*state);
    auto of_domain = read_state(context.store, domain, true);
    if (!of_domain) return tl::unexpected<Error>(of_domain.error());
    facts.domain_state = std::move(*of_domain);
  }
  const bool domain_blocked =
      facts.domain_state &&
      state::effective_block(*facts.domain_state, context.now_us).kind != BlockKind::none;
  if (!known && !domain_blocked) return std::optional<AddressFacts>{};
  if (known) facts.state = std::move(*known);
  if (!facts.state.text.empty()) facts.address = facts.state.text;
  auto evidence = read_evidence(context.store, facts.id);
  if (!evidence) return tl::unexpected<Error>(evidence.error());
  facts.evidence = std::move(*evidence);
  return std::optional<AddressFacts>(std::move(facts));
}

void append_address_json(std::string& out, const AddressFacts& facts, const Context& context,
                         bool history) {
  out += "{\"address\":";
  append_json(out, facts.address);
  append_blocks_json(out, facts, context);
  const state::Streak streak = state::streak(facts.state);
  out += fmt::format(",\"streak\":{{\"count\":{}", streak.count);
  if (streak.count != 0) {
    out += ",\"since\":";
    append_time_json(out, streak.since_us);
  }
  const state::Totals& t = facts.state.totals;
  out += fmt::format(
      "}},\"totals\":{{\"delivered\":{},\"bounced\":{},\"expired\":{},\"deferred\":{},"
      "\"complained\":{},\"suppressed\":{}}}",
      t.delivered, t.bounced, t.expired, t.deferred, t.complained, t.suppressed);
  if (!facts.evidence.empty()) {
    out += ",\"last\":";
    append_event_view(out, view_of(facts.evidence.front(), facts.address, context.names),
                      &context.rules);
  } else if (!facts.state.failures.empty()) {
    out += ",\"last\":";
    append_failure(out, facts, context);
  }
  append_retry_json(out, retry_advice(facts.state, context.now_us));
  const Cause cause = current_cause(facts, context.now_us);
  if (cause != Cause::none && !cause_info(context.rules, cause).advice.empty()) {
    out += ",\"advice\":";
    append_json(out, cause_info(context.rules, cause).advice);
  }
  if (history) {
    out += ",\"history\":[";
    for (std::size_t i = 0; i < facts.evidence.size(); ++i) {
      if (i != 0) out += ',';
      append_event_view(out, view_of(facts.evidence[i], facts.address, context.names),
                        &context.rules);
    }
    out += ']';
  }
  out += "}\n";
}

void append_address_text(std::string& out, const AddressFacts& facts, const Context& context) {
  out += printable(facts.address) + "\n";
  bool blocked = false;
  const auto add = [&](const state::AddressState& state, const char* level) {
    for (const state::BlockRecord& block : state.blocks) {
      if (!live(block, context.now_us)) continue;
      blocked = true;
      std::string line =
          fmt::format("  blocked   {}{} ({}", level, to_string(block.kind), to_string(block.scope));
      if (const auto name = scope_name(block, context.names); !name.empty()) {
        line += fmt::format(" {}", name);
      }
      line += fmt::format(") since {}, {}", format_time(block.since_us), until_text(block));
      if (block.cause != 0) {
        line += fmt::format(": {}", cause_id(context.rules, static_cast<Cause>(block.cause)));
        const Category category = block_category(block, facts.evidence, context.rules);
        if (category != Category::none) line += fmt::format(" ({})", to_string(category));
      }
      out += printable(line) + "\n";
    }
  };
  add(facts.state, "");
  if (facts.domain_state) add(*facts.domain_state, "domain ");
  if (!blocked) out += "  blocked   no\n";
  const state::Streak streak = state::streak(facts.state);
  if (streak.count != 0) {
    out += fmt::format("  streak    {} in a row since {}\n", streak.count,
                       format_time(streak.since_us));
  }
  const state::Totals& t = facts.state.totals;
  out += fmt::format(
      "  totals    delivered {}, bounced {}, expired {}, deferred {}, complained {}, suppressed "
      "{}\n",
      t.delivered, t.bounced, t.expired, t.deferred, t.complained, t.suppressed);
  const Cause cause = current_cause(facts, context.now_us);
  if (cause != Cause::none) {
    const CauseInfo& info = cause_info(context.rules, cause);
    out += fmt::format("  cause     {}: {}\n", info.id, info.meaning);
    out += fmt::format("  advice    {}\n", info.advice);
  }
  const std::string retry = retry_text(retry_advice(facts.state, context.now_us));
  if (!retry.empty()) out += "  retry     " + retry + "\n";
  for (const state::Evidence& evidence : facts.evidence) out += "  " + words(evidence) + "\n";
}

}  // namespace bounced::report
