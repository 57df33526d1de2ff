#include "cli/whatif.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/failures.h"
#include "state/decide.h"
#include "state/state.h"

namespace bounced::cli {
namespace {

std::string block_text(const WhatIf::Block& block) {
  if (block.kind == BlockKind::none) return "not blocked";
  return fmt::format("{} {}", to_string(block.kind), block.cause);
}

/// Records of one family, one after the other, some thousand in memory.
class Cursor {
 public:
  explicit Cursor(const store::Store& store) : store_(store) {}
  /// nullptr at the end.
  Result<const std::pair<std::string, std::string>*> get() {
    if (records_.empty() && !end_) {
      auto read = fill();
      if (!read) return tl::unexpected(read.error());
    }
    return records_.empty() ? nullptr : &records_.front();
  }
  void next() { records_.pop_front(); }

 private:
  Result<void> fill() {
    constexpr std::size_t kRecords = 4096;
    auto scanned = store_.scan(store::Family::address, {}, from_,
                               [&](std::string_view key, std::string_view value) {
                                 records_.emplace_back(key, value);
                                 return records_.size() < kRecords;
                               });
    if (!scanned) return scanned;
    end_ = records_.size() < kRecords;
    if (!records_.empty()) from_ = records_.back().first + '\0';
    return {};
  }
  const store::Store& store_;
  std::deque<std::pair<std::string, std::string>> records_;
  std::string from_;
  bool end_ = false;
};

}  // namespace

WhatIf::Block WhatIf::effective(const state::AddressState& state, const RuleSet& rules,
                                std::int64_t at_us) {
  const state::BlockRecord record = state::effective_block(state, at_us);
  if (record.kind == BlockKind::none) return {};
  return {record.kind, std::string(cause_id(rules, static_cast<Cause>(record.cause))),
          record.until_us};
}

void WhatIf::verdict(const Judgement& today, const Judgement& then, std::string_view diagnostic,
                     std::string_view recipient) {
  ++failures_;
  const std::string_view cause_today = cause_id(today.rules, today.verdict.cause);
  const std::string_view cause_then = cause_id(then.rules, then.verdict.cause);
  if (cause_today == cause_then && today.verdict.bounce_class == then.verdict.bounce_class) return;
  ++changed_;
  Change& change =
      verdicts_[{fmt::format("{} ({})", cause_today, to_string(today.verdict.bounce_class)),
                 fmt::format("{} ({})", cause_then, to_string(then.verdict.bounce_class))}];
  ++change.count;
  const bool harder = !today.verdict.hard() && then.verdict.hard();
  const bool softer = today.verdict.hard() && !then.verdict.hard();
  change.harder += harder ? 1 : 0, harder_ += harder ? 1 : 0;
  change.softer += softer ? 1 : 0, softer_ += softer ? 1 : 0;
  if (change.examples.size() >= kExamples) return;
  for (const Example& known : change.examples) {
    if (known.text == diagnostic) return;
  }
  change.examples.push_back({std::string(diagnostic), std::string(recipient),
                             std::string(rule_name(today.rules, today.verdict.rule)),
                             std::string(rule_name(then.rules, then.verdict.rule))});
}

void WhatIf::block(const std::string& address, const Block& today, const Block& then) {
  const bool was = today.kind != BlockKind::none;
  const bool is = then.kind != BlockKind::none;
  blocked_today_ += was ? 1 : 0;
  blocked_then_ += is ? 1 : 0;
  if (!was && !is) return;
  std::string from = block_text(today);
  std::string to = block_text(then);
  if (from == to && today.until_us == then.until_us) return;
  if (from == to) to += then.until_us == 0 ? ", for good" : ", until another day";
  ++(!was ? more_ : !is ? fewer_ : otherwise_);
  Change& change = blocks_[{std::move(from), std::move(to)}];
  if (++change.count <= kExamples) change.examples.push_back({address, {}, {}, {}});
}

Result<void> WhatIf::blocks(const Stored& today, const Stored& then, std::int64_t at_us) {
  Cursor a(today.store);
  Cursor b(then.store);
  while (true) {
    auto left = a.get();
    if (!left) return tl::unexpected(left.error());
    auto right = b.get();
    if (!right) return tl::unexpected(right.error());
    if (*left == nullptr && *right == nullptr) return {};
    const bool has_left =
        *left != nullptr && (*right == nullptr || (*left)->first <= (*right)->first);
    const bool has_right =
        *right != nullptr && (*left == nullptr || (*right)->first <= (*left)->first);
    std::string address;
    const auto side = [&](const std::string& bytes, const RuleSet& rules) -> Result<Block> {
      auto state = state::decode(bytes);
      if (!state) return tl::unexpected(state.error());
      address = state->text;
      return effective(*state, rules, at_us);
    };
    Result<Block> was = has_left ? side((*left)->second, today.rules) : Result<Block>(Block{});
    if (!was) return tl::unexpected(was.error());
    Result<Block> is = has_right ? side((*right)->second, then.rules) : Result<Block>(Block{});
    if (!is) return tl::unexpected(is.error());
    block(address, *was, *is);
    if (has_left) a.next();
    if (has_right) b.next();
  }
}

std::vector<const WhatIf::Changes::value_type*> WhatIf::ordered(const Changes& changes) {
  std::vector<const Changes::value_type*> all;
  for (const auto& change : changes) all.push_back(&change);
  std::stable_sort(all.begin(), all.end(),
                   [](const auto* x, const auto* y) { return x->second.count > y->second.count; });
  return all;
}

std::string WhatIf::as_text() const {
  std::string text = fmt::format(
      "verdicts  {} of {} failures differ: {} become hard, {} are hard no longer\n",
      with_commas(changed_), with_commas(failures_), with_commas(harder_), with_commas(softer_));
  for (const auto* change : ordered(verdicts_)) {
    text += fmt::format("{:>9} x  {} -> {}\n", with_commas(change->second.count),
                        change->first.first, change->first.second);
    for (const Example& example : change->second.examples) {
      text += fmt::format("             {}: {}\n             by {} -> {}\n",
                          printable(example.recipient), printable(example.text), example.rule_today,
                          example.rule_then);
    }
  }
  text += fmt::format(
      "blocks    today {}, then {} addresses and domains: {} more, {} fewer, {} otherwise\n",
      with_commas(blocked_today_), with_commas(blocked_then_), with_commas(more_),
      with_commas(fewer_), with_commas(otherwise_));
  for (const auto* change : ordered(blocks_)) {
    text += fmt::format("{:>9} x  {} -> {}\n            ", with_commas(change->second.count),
                        change->first.first, change->first.second);
    for (const Example& example : change->second.examples) text += " " + printable(example.text);
    text += '\n';
  }
  return text;
}

std::string WhatIf::changes_json(const char* what, const Changes& changes) const {
  std::string json;
  for (const auto* change : ordered(changes)) {
    json += fmt::format("{{\"diff\":\"{}\",\"today\":", what);
    append_json(json, change->first.first);
    json += ",\"then\":";
    append_json(json, change->first.second);
    json += fmt::format(",\"count\":{}", change->second.count);
    if (change->second.harder != 0) json += fmt::format(",\"harder\":{}", change->second.harder);
    if (change->second.softer != 0) json += fmt::format(",\"softer\":{}", change->second.softer);
    json += ",\"examples\":[";
    bool first = true;
    for (const Example& example : change->second.examples) {
      if (!first) json += ',';
      first = false;
      if (&changes == &blocks_) {
        append_json(json, example.text);
        continue;
      }
      json += "{\"diagnostic\":";
      append_json(json, example.text);
      json += ",\"recipient\":";
      append_json(json, example.recipient);
      json += ",\"rule_today\":";
      append_json(json, example.rule_today);
      json += ",\"rule_then\":";
      append_json(json, example.rule_then);
      json += '}';
    }
    json += "]}\n";
  }
  return json;
}

std::string WhatIf::as_json() const {
  return changes_json("verdict", verdicts_) + changes_json("block", blocks_) +
         fmt::format(
             "{{\"summary\":{{\"failures\":{},\"verdicts_changed\":{},\"harder\":{},\"softer\":{},"
             "\"blocked_today\":{},\"blocked_then\":{},\"more\":{},\"fewer\":{},\"otherwise\":{}}}}"
             "}\n",
             failures_, changed_, harder_, softer_, blocked_today_, blocked_then_, more_, fewer_,
             otherwise_);
}

namespace {

/// One way to judge evidence.
struct Way {
  std::shared_ptr<const RuleSet> rules;
  Policy policy;
  std::unique_ptr<Classifier> classifier;

  static Result<Way> make(const pipeline::Options& options, std::vector<std::string> known) {
    RuleSetOptions rule_options = options.rules;
    rule_options.known_causes = std::move(known);
    auto rules = load_rules(rule_options);
    if (!rules) return tl::unexpected(rules.error());
    auto policy = state::load_policy(options.policy_file, causes(**rules));
    if (!policy) return tl::unexpected(policy.error());
    Classifier::Options with;
    with.sending_ips = options.sending_ips;
    return Way{*rules, *policy, std::make_unique<Classifier>(*rules, with)};
  }
};

Failure failure_of(const state::Evidence& e, std::string_view address) {
  Failure failure;
  failure.diagnostic = e.diagnostic;
  failure.smtp_code = e.smtp_code;
  failure.enhanced = e.enhanced;
  failure.phase = e.phase;
  failure.kind = e.kind;
  failure.mta_host = e.mta_host;
  failure.recipient_domain = raw_domain(address);
  return failure;
}

bool judged(const state::Evidence& e) {
  return !e.diagnostic.empty() && (e.kind == EventKind::bounced || e.kind == EventKind::deferred ||
                                   e.kind == EventKind::expired);
}

/// The address's blocks, made of its evidence alone.
WhatIf::Block blocks_of(const Way& way, const std::vector<state::Evidence>& evidence,
                        const std::vector<Verdict>& verdicts, const state::AddressState& stored,
                        std::int64_t at_us) {
  state::AddressState state;
  const auto tell = [&](const state::Fact& fact, const Verdict& verdict) {
    (void)state::decide(state, fact, verdict, way.policy, PolicyLevel::address);
  };
  bool delivered = stored.last_delivery_us == 0;
  state::Fact delivery;
  delivery.kind = EventKind::delivered;
  delivery.time_us = stored.last_delivery_us;
  delivery.message = stored.last_delivery_message;
  for (std::size_t i = 0; i < evidence.size(); ++i) {
    const state::Evidence& e = evidence[i];
    if (!delivered && stored.last_delivery_us <= e.time_us) {
      tell(delivery, Verdict{});
      delivered = true;
    }
    state::Fact fact;
    fact.kind = e.kind;
    fact.time_us = e.time_us;
    fact.message =
        hash64(e.message_id.empty() ? e.queue_id + std::to_string(e.time_us) : e.message_id) | 1;
    tell(fact, verdicts[i]);
  }
  if (!delivered) tell(delivery, Verdict{});
  return WhatIf::effective(state, *way.rules, at_us);
}

}  // namespace

Result<void> compare_evidence(App& app, const pipeline::Options& today,
                              const pipeline::Options& then, WhatIf& diff) {
  auto session = Session::read(app);
  if (!session) return tl::unexpected(session.error());
  const auto known = (*session)->names().all(store::Dictionary::cause);
  auto a = Way::make(today, known);
  if (!a) return tl::unexpected(a.error());
  auto b = Way::make(then, known);
  if (!b) return tl::unexpected(b.error());
  std::int64_t newest_us = 0;
  auto done = visit_evidence(**session, [&](const FailureFacts& facts) {
    newest_us = std::max(newest_us, facts.time_us);
  });
  if (!done) return done;
  return visit_histories(**session, [&](const History& history) {
    std::vector<state::Evidence> evidence;
    for (const state::Evidence& e : history.evidence) {
      if (judged(e)) evidence.push_back(e);
    }
    std::vector<Verdict> was, is;
    for (const state::Evidence& e : evidence) {
      const Failure failure = failure_of(e, history.state.text);
      was.push_back(a->classifier->classify(failure));
      is.push_back(b->classifier->classify(failure));
      diff.verdict({*a->rules, was.back()}, {*b->rules, is.back()}, e.diagnostic,
                   history.state.text);
    }
    if (evidence.empty()) return;
    diff.block(history.state.text, blocks_of(*a, evidence, was, history.state, newest_us),
               blocks_of(*b, evidence, is, history.state, newest_us));
  });
}

}  // namespace bounced::cli
