#include "bounced/classifier.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/hash.h"
#include "base/text.h"
#include "classify/codes.h"
#include "classify/matcher.h"
#include "classify/memo.h"
#include "classify/normalise.h"
#include "classify/span.h"

namespace bounced {
namespace {

using classify::CodeRow;
using classify::Facts;
using classify::Match;
using classify::Normalised;

/// Host name -> provider, so that the suffix table is not asked for every event. Direct-mapped and
/// compared in full: a host name is somebody else's choice.
class ProviderCache {
 public:
  RuleSet::ProviderId find(const RuleSet& rules, std::string_view host) {
    if (host.empty()) return RuleSet::kNoProvider;
    if (host.size() > kBytesMax) return rules.provider_of(host);
    Slot& slot = slots_[hash64(host) % slots_.size()];
    if (slot.size != host.size() || std::memcmp(slot.host, host.data(), host.size()) != 0) {
      slot.provider = rules.provider_of(host);
      slot.size = static_cast<std::uint8_t>(host.size());
      std::memcpy(slot.host, host.data(), host.size());
    }
    return slot.provider;
  }

 private:
  static constexpr std::size_t kBytesMax = 61;
  struct Slot {
    char host[kBytesMax];
    std::uint8_t size = 0;
    RuleSet::ProviderId provider = RuleSet::kNoProvider;
  };
  static_assert(sizeof(Slot) == 64, "one cache line");
  std::array<Slot, 512> slots_{};
};

/// Everything but the text that a verdict depends on; appended to it for the memo's key.
struct KeyTail {
  std::uint16_t smtp_code;
  std::uint16_t subject, detail;
  std::uint16_t provider;
  std::uint8_t klass, phase, kind, hint;
};
static_assert(sizeof(KeyTail) == 12, "no padding: it is hashed");
static_assert(sizeof(KeyTail) <= classify::Normaliser::kSlack);

Severity said_by(std::uint16_t smtp_code, const EnhancedCode& enhanced, EventKind kind) {
  const unsigned digit = smtp_code != 0 ? smtp_code / 100u : enhanced.klass;
  if (digit == 4) return Severity::temporary;
  if (digit == 5) return Severity::permanent;
  return kind == EventKind::bounced ? Severity::permanent : Severity::temporary;
}

}  // namespace

struct Classifier::Impl {
  Impl(std::shared_ptr<const RuleSet> set, Options o)
      : rules(std::move(set)),
        options(std::move(o)),
        normaliser(classify::SendingIps(options.sending_ips)),
        matcher(*rules) {}

  std::shared_ptr<const RuleSet> rules;
  Options options;
  classify::Normaliser normaliser;
  classify::Matcher matcher;
  classify::Memo memo;
  ProviderCache providers;
  Secret secret = random_secret();
  Stats stats;

  Normalised normalised;
  Facts facts;

  void prepare(const Failure& failure);
  Verdict decide(const Failure& failure, const Match* winner);
  [[nodiscard]] AddressId key(ProviderHint hint);
  [[nodiscard]] std::string literal_of(const Match& match) const;
  [[nodiscard]] std::string why(const Match& match, const Match& winner) const;
};

/// Fills `normalised` and `facts`. The server's own words win over what the log says beside them;
/// a quoted reply's codes count only when there are no others.
void Classifier::Impl::prepare(const Failure& failure) {
  const std::string_view text = failure.diagnostic.substr(0, limits::kDiagnosticBytesMax);
  normaliser.run(text, failure.smtp_code, normalised);
  facts.smtp_code = normalised.smtp_code != 0 ? normalised.smtp_code : failure.smtp_code;
  facts.enhanced = normalised.enhanced.present() ? normalised.enhanced : failure.enhanced;
  if (facts.smtp_code == 0 && !facts.enhanced.present()) {
    facts.smtp_code = normalised.nested_smtp;
    facts.enhanced = normalised.nested_enhanced;
  }
  facts.phase = failure.phase != Phase::none ? failure.phase : normalised.phase;
  facts.kind = failure.kind;
  facts.provider = providers.find(*rules, failure.mta_host);
  if (facts.provider == RuleSet::kNoProvider) {
    facts.provider = providers.find(*rules, failure.recipient_domain);
  }
}

AddressId Classifier::Impl::key(ProviderHint hint) {
  const KeyTail tail{facts.smtp_code,
                     facts.enhanced.subject,
                     facts.enhanced.detail,
                     facts.provider,
                     facts.enhanced.klass,
                     static_cast<std::uint8_t>(facts.phase),
                     static_cast<std::uint8_t>(facts.kind),
                     static_cast<std::uint8_t>(hint)};
  // A tail of fixed size: text + tail is never another text + tail.
  std::memcpy(normaliser.buffer() + normalised.text.size(), &tail, sizeof tail);
  AddressId id = hash128({normaliser.buffer(), normalised.text.size() + sizeof tail}, secret);
  id.hi |= 1;  // never the empty slot's key
  return id;
}

Verdict Classifier::Impl::decide(const Failure& failure, const Match* winner) {
  const Severity said = said_by(facts.smtp_code, facts.enhanced, facts.kind);
  if (winner != nullptr) {
    const classify::Rule& rule = rules->rules[winner->rule];
    return rules->verdict(rules->compiled[winner->rule].cause, said, rule.severity, rule.confidence,
                          winner->rule + 1);
  }
  const std::uint32_t number =
      classify::find_code_row(facts.smtp_code, facts.enhanced, failure.hint, facts.kind);
  const CodeRow& row = classify::code_row(number);
  return rules->verdict(row.cause, said, Severity::none, row.confidence,
                        static_cast<RuleId>(rules->rules.size() + 1 + number));
}

Classifier::Classifier(std::shared_ptr<const RuleSet> rules)
    : Classifier(std::move(rules), Options()) {}
Classifier::Classifier(std::shared_ptr<const RuleSet> rules, Options options)
    : impl_(std::make_unique<Impl>(std::move(rules), std::move(options))) {}
Classifier::~Classifier() = default;
Classifier::Classifier(Classifier&&) noexcept = default;
Classifier& Classifier::operator=(Classifier&&) noexcept = default;

Verdict Classifier::classify(const Failure& failure) {
  Impl& c = *impl_;
  c.prepare(failure);
  ++c.stats.calls;
  AddressId key;
  if (c.options.memo) {
    key = c.key(failure.hint);
    if (const Verdict* known = c.memo.find(key)) {
      ++c.stats.memo_hits;
      return *known;
    }
  }
  ++c.stats.scans;
  Match winner;
  const bool found = c.matcher.match(c.normalised.text, c.facts, winner);
  const Verdict verdict = c.decide(failure, found ? &winner : nullptr);
  if (!found) ++c.stats.by_code;
  if (verdict.cause == Cause::unknown_temporary || verdict.cause == Cause::unknown_permanent) {
    ++c.stats.unknown;
  }
  if (c.options.memo) c.memo.put(key, verdict);
  return verdict;
}

std::string Classifier::Impl::literal_of(const Match& match) const {
  if (match.length == 0) return {};
  const std::size_t literals = rules->patterns.literals.size();
  return match.pattern < literals ? rules->patterns.literals[match.pattern]
                                  : rules->patterns.regexes[match.pattern - literals];
}

std::string Classifier::Impl::why(const Match& match, const Match& winner) const {
  const classify::Rule& mine = rules->rules[match.rule];
  const classify::Rule& best = rules->rules[winner.rule];
  const std::string literal = literal_of(match);
  const std::string what = literal.empty() ? std::string("codes alone") : "\"" + literal + "\"";
  if (match.rule == winner.rule) return "matched " + what;
  if (mine.precedence != best.precedence)
    return "matched " + what + "; an operator's rule comes first";
  if (mine.providers.empty() != best.providers.empty()) {
    return "matched " + what + "; the winner is of this provider";
  }
  if (mine.has_text() != best.has_text()) return "matched " + what + "; text comes before codes";
  if (mine.predicates() != best.predicates()) {
    return "matched " + what + "; the winner has more predicates";
  }
  if (match.length != winner.length) return "matched " + what + "; the winner's text is longer";
  return "matched " + what + "; the winner stands first in the files";
}

Verdict Classifier::explain(const Failure& failure, Explanation& out) {
  Impl& c = *impl_;
  c.prepare(failure);
  out = Explanation{};
  out.normalised = std::string(c.normalised.text);
  out.smtp_code = c.facts.smtp_code;
  out.enhanced = c.facts.enhanced;
  out.provider = c.rules->providers[c.facts.provider].suffix;
  Match winner;
  std::vector<Match> all;
  const bool found = c.matcher.match(c.normalised.text, c.facts, winner, &all);
  const Verdict verdict = c.decide(failure, found ? &winner : nullptr);
  std::sort(all.begin(), all.end(),
            [&](const Match& a, const Match& b) { return classify::beats(*c.rules, a, b); });
  for (const Match& match : all) {
    const classify::Rule& rule = c.rules->rules[match.rule];
    out.matches.push_back({rule.id, rule.where(), c.rules->compiled[match.rule].cause,
                           match.rule == winner.rule, c.why(match, winner)});
  }
  const std::string name(rule_name(*c.rules, verdict.rule));
  const std::string cause(cause_id(*c.rules, verdict.cause));
  if (found) {
    out.summary = cause + " by rule " + name + ": " + out.matches.front().why;
    if (all.size() > 1) out.summary += ", ahead of " + std::to_string(all.size() - 1) + " more";
  } else {
    out.summary = cause + " by " + name + ": no rule knows this text";
  }
  out.summary += "; the server said " + std::string(to_string(verdict.said));
  return verdict;
}

Classifier::Span Classifier::span(const Failure& failure) {
  Impl& c = *impl_;
  c.prepare(failure);
  Match winner;
  if (!c.matcher.match(c.normalised.text, c.facts, winner) || winner.length == 0) return {};
  std::string words = c.literal_of(winner);
  if (winner.pattern >= c.rules->patterns.literals.size()) {
    words = classify::regex_match(words, c.normalised.text);
  }
  const classify::Range range =
      classify::find_span(failure.diagnostic.substr(0, limits::kDiagnosticBytesMax), words);
  return {range.begin, range.end};
}

const Classifier::Stats& Classifier::stats() const {
  return impl_->stats;
}

}  // namespace bounced
