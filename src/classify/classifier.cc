#include "bounced/classifier.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/hash.h"
#include "base/text.h"
#include "classify/codes.h"
#include "classify/learned.h"
#include "classify/matcher.h"
#include "classify/memo.h"
#include "classify/normalise.h"
#include "classify/reply.h"
#include "classify/sketch.h"
#include "classify/span.h"

namespace bounced {
namespace {

using classify::CodeRow;
using classify::Facts;
using classify::Match;
using classify::Normalised;
using classify::Reply;

/// Everything but the text that a verdict depends on; appended to it for the memo's key.
struct KeyTail {
  std::uint16_t smtp_code;
  std::uint16_t subject, detail;
  std::uint16_t provider;
  std::uint8_t klass, phase, kind, hint;
  std::uint32_t
      road;  ///< kSketched or kNormalised: whose text stands in front, whose codes these are
};
static_assert(sizeof(KeyTail) == 16, "no padding: it is hashed");
static_assert(sizeof(KeyTail) <= classify::Normaliser::kSlack);
static_assert(sizeof(KeyTail) <= classify::Sketch::kSlack);
constexpr std::uint32_t kNormalised = 0, kSketched = 1;
/// From this confidence (percent) on a rule needs no words beside it, unless it makes dead.
constexpr std::uint8_t kSure = 97;
/// What words alone must weigh more to make dead what a code or a rule does not, in sixteenths: a
/// text that says nothing is no dead mailbox because most failures are, nor is one by its code.
constexpr int kDeadMargin = 16, kDeadMarginOfRule = 24, kDeadByWords = 12;
/// What they must weigh more to blame the recipient for what a rule blames on somebody else.
constexpr int kBlameMargin = 24;
/// What they must weigh more to take the cause that a rule names away and give none instead.
constexpr int kUnknownMargin = 24;
/// A rule that says that nobody can tell was written against just such words; a code that names a
/// cause stays where words have none.
constexpr int kNever = 1 << 20;
constexpr std::size_t kReasonsMax = 6;  ///< of words, in an explanation

bool is_unknown(Cause cause) {
  return cause == Cause::unknown_temporary || cause == Cause::unknown_permanent;
}

/// A provider gives up on what it calls soft, too: without a code its class says which it was.
bool said_soft(ProviderHint hint) {
  return hint == ProviderHint::soft || hint == ProviderHint::full || hint == ProviderHint::dns ||
         hint == ProviderHint::transient || hint == ProviderHint::network;
}

Severity said_by(std::uint16_t smtp_code, const EnhancedCode& enhanced, EventKind kind,
                 ProviderHint hint) {
  const unsigned digit = smtp_code != 0 ? smtp_code / 100u : enhanced.klass;
  if (digit == 4) return Severity::temporary;
  if (digit == 5) return Severity::permanent;
  if (said_soft(hint)) return Severity::temporary;
  return kind == EventKind::bounced ? Severity::permanent : Severity::temporary;
}

/// How much more than its words weigh the cause of a rule or a code is given because a provider's
/// own class (webhooks) names it, too, in sixteenths of a natural logarithm: labels have few words.
constexpr int kWeightOfHint = 64;

/// How often words are right against a rule, by the margin they have over the next best cause
/// (measured likewise). Never enough to block an address at the first message.
std::uint8_t confidence_of(int margin) {
  return margin >= 96 ? 94 : margin >= 56 ? 92 : margin >= 30 ? 82 : 57;
}

}  // namespace

struct Classifier::Impl {
  Impl(std::shared_ptr<const RuleSet> set, Options o)
      : rules(std::move(set)),
        options(std::move(o)),
        ours(options.sending_ips),
        normaliser(ours),
        sketch(*rules->telling, ours),
        matcher(*rules),
        weigher(rules->learned) {
    for (std::size_t cause = 1; cause < kBuiltinCauses; ++cause) {
      if (makes_dead(static_cast<Cause>(cause)))
        dead_causes |= classify::Weigher::Causes{1} << cause;
    }
  }

  std::shared_ptr<const RuleSet> rules;
  Options options;
  classify::SendingIps ours;
  classify::Normaliser normaliser;
  classify::Sketch sketch;
  classify::Matcher matcher;
  classify::Weigher weigher;
  classify::Weigher::Causes dead_causes = 0;
  classify::Memo memo;
  Secret secret = random_secret();
  Stats stats;

  Normalised normalised;
  Reply reply;
  Facts facts;
  bool weighed = false;  ///< the last verdict's words were asked

  [[nodiscard]] RuleSet::ProviderId provider_of(const Failure& failure) const;
  void prepare(const Failure& failure, RuleSet::ProviderId provider);
  Verdict decide(const Failure& failure, const Match* winner);
  Verdict weigh(const Verdict& ruled, int bonus, int dead_margin);
  [[nodiscard]] bool makes_dead(Cause cause) const {
    return rules->info(cause).bounce_class == BounceClass::hard;
  }
  void explain_words(Explanation& out) const;
  [[nodiscard]] Span span_of_words(const Failure& failure) const;
  [[nodiscard]] AddressId key(const Failure& failure, RuleSet::ProviderId provider);
  [[nodiscard]] AddressId hash(char* text, std::size_t size, const KeyTail& tail) const;
  [[nodiscard]] std::string literal_of(const Match& match) const;
  [[nodiscard]] std::string why(const Match& match, const Match& winner) const;
};

/// Fills `normalised`, `reply` and `facts`.
void Classifier::Impl::prepare(const Failure& failure, RuleSet::ProviderId provider) {
  const std::string_view text = failure.diagnostic.substr(0, limits::kDiagnosticBytesMax);
  normaliser.run(text, failure.smtp_code, normalised);
  reply = classify::reply_of(failure, normalised);
  facts = {reply.smtp_code, reply.enhanced, reply.phase, reply.kind, provider};
}

RuleSet::ProviderId Classifier::Impl::provider_of(const Failure& failure) const {
  const RuleSet::ProviderId provider = rules->provider_of(failure.mta_host);
  return provider != RuleSet::kNoProvider ? provider : rules->provider_of(failure.recipient_domain);
}

/// Of the text's sketch and the failure's own codes; where there is no sketch, of the normalised
/// text and the codes that count, which are then prepared.
AddressId Classifier::Impl::key(const Failure& failure, RuleSet::ProviderId provider) {
  KeyTail tail{failure.smtp_code,
               failure.enhanced.subject,
               failure.enhanced.detail,
               provider,
               failure.enhanced.klass,
               static_cast<std::uint8_t>(failure.phase),
               static_cast<std::uint8_t>(failure.kind),
               static_cast<std::uint8_t>(failure.hint),
               kSketched};
  if (sketch.run(failure.diagnostic.substr(0, limits::kDiagnosticBytesMax))) {
    return hash(sketch.data(), sketch.size(), tail);
  }
  prepare(failure, provider);
  tail.smtp_code = facts.smtp_code;
  tail.subject = facts.enhanced.subject;
  tail.detail = facts.enhanced.detail;
  tail.klass = facts.enhanced.klass;
  tail.phase = static_cast<std::uint8_t>(facts.phase);
  tail.road = kNormalised;
  return hash(normaliser.buffer(), normalised.text.size(), tail);
}

AddressId Classifier::Impl::hash(char* text, std::size_t size, const KeyTail& tail) const {
  // A tail of fixed size: text + tail is never another text + tail.
  std::memcpy(text + size, &tail, sizeof tail);
  AddressId id = hash128({text, size + sizeof tail}, secret);
  id.hi |= 1;  // never the empty slot's key
  return id;
}

Verdict Classifier::Impl::decide(const Failure& failure, const Match* winner) {
  const Severity said = said_by(facts.smtp_code, facts.enhanced, facts.kind, failure.hint);
  weighed = false;
  Verdict ruled;
  int dead_margin = kDeadMargin;
  if (winner != nullptr) {
    const RuleSet::Compiled& rule = rules->compiled[winner->rule];
    ruled = rules->verdict(rule.cause, said, rule.severity, rule.confidence, winner->rule + 1);
    if (rules->of_operator(winner->rule)) return ruled;
    if ((rule.rank & RuleSet::kProviderRank) != 0) return ruled;
    if (rule.confidence >= kSure && !ruled.hard()) return ruled;
    reply.ruled = {ruled.cause, ruled.confidence, winner->length};
    dead_margin = is_unknown(rule.cause) ? kNever : kDeadMarginOfRule;
  } else {
    const std::uint32_t number =
        classify::find_code_row(facts.smtp_code, facts.enhanced, failure.hint, facts.kind);
    const CodeRow& row = classify::code_row(number);
    ruled = rules->verdict(row.cause, said, Severity::none, row.confidence,
                           static_cast<RuleId>(rules->rule_count() + 1 + number));
  }
  const bool hinted = classify::hint_cause(failure.hint) == ruled.cause;
  return options.words ? weigh(ruled, hinted ? kWeightOfHint : 0, dead_margin) : ruled;
}

/// What the rules say, or what the words say where they weigh more.
Verdict Classifier::Impl::weigh(const Verdict& ruled, int bonus, int dead_margin) {
  if (ruled.cause == Cause::local_suppressed || ruled.cause >= Cause{kBuiltinCauses}) return ruled;
  weighed = true;
  classify::Weigher::Opinion words = weigher.weigh(reply, ruled.cause, bonus);
  const bool unknown = is_unknown(words.cause);
  const int unknown_margin = makes_dead(ruled.cause)            ? 0
                             : reply.ruled.cause != Cause::none ? kUnknownMargin
                                                                : kNever;
  if (words.cause == ruled.cause || words.cause == Cause::none ||
      (unknown && (is_unknown(ruled.cause) || words.margin < unknown_margin))) {
    return ruled;
  }
  // Whether it is dead, not which of the causes of that: they share their words.
  if (makes_dead(words.cause) && !makes_dead(ruled.cause) &&
      (weigher.over_others(dead_causes) < dead_margin || words.by_words < kDeadByWords)) {
    return ruled;
  }
  const bool blames = rules->info(words.cause).fault == Fault::recipient &&
                      rules->info(ruled.cause).fault != Fault::recipient;
  if (blames && reply.ruled.cause != Cause::none && words.margin < kBlameMargin) return ruled;
  if (unknown) {
    words.cause =
        ruled.said == Severity::temporary ? Cause::unknown_temporary : Cause::unknown_permanent;
  }
  return rules->verdict(words.cause, ruled.said, Severity::none, confidence_of(words.margin),
                        rules->learned_rule(words.cause));
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
  ++c.stats.calls;
  const RuleSet::ProviderId provider = c.provider_of(failure);
  AddressId key;
  if (c.options.memo) {
    key = c.key(failure, provider);
    if (const Verdict* known = c.memo.find(key)) {
      ++c.stats.memo_hits;
      return *known;
    }
  }
  ++c.stats.scans;
  c.prepare(failure, provider);
  Match winner;
  const bool found = c.matcher.match(c.normalised.text, c.facts, winner);
  const Verdict verdict = c.decide(failure, found ? &winner : nullptr);
  if (!found) ++c.stats.by_code;
  if (is_unknown(verdict.cause)) ++c.stats.unknown;
  if (c.options.memo) c.memo.put(key, verdict);
  return verdict;
}

std::string Classifier::Impl::literal_of(const Match& match) const {
  return match.length == 0 ? std::string() : std::string(rules->pattern_texts[match.pattern]);
}

std::string Classifier::Impl::why(const Match& match, const Match& winner) const {
  const classify::Rule& mine = rules->rules()[match.rule];
  const classify::Rule& best = rules->rules()[winner.rule];
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
  c.prepare(failure, c.provider_of(failure));
  out = Explanation{};
  out.normalised = std::string(c.normalised.text);
  out.smtp_code = c.facts.smtp_code;
  out.enhanced = c.facts.enhanced;
  out.provider = std::string(c.rules->provider_suffixes[c.facts.provider]);
  Match winner;
  std::vector<Match> all;
  const bool found = c.matcher.match(c.normalised.text, c.facts, winner, &all);
  const Verdict verdict = c.decide(failure, found ? &winner : nullptr);
  std::sort(all.begin(), all.end(),
            [&](const Match& a, const Match& b) { return classify::beats(*c.rules, a, b); });
  for (const Match& match : all) {
    const classify::Rule& rule = c.rules->rules()[match.rule];
    out.matches.push_back({rule.id, rule.where(), c.rules->compiled[match.rule].cause,
                           match.rule == winner.rule, match.length, c.why(match, winner)});
  }
  const std::string name(rule_name(*c.rules, verdict.rule));
  const std::string cause(cause_id(*c.rules, verdict.cause));
  c.explain_words(out);
  if (c.rules->is_learned(verdict.rule)) {
    out.summary = cause + " by its words, which weigh more than " +
                  (found ? "rule " + out.matches.front().rule : "its codes");
    for (Explanation::Match& match : out.matches) match.won = false;
  } else if (found) {
    out.summary = cause + " by rule " + name + ": " + out.matches.front().why;
    if (all.size() > 1) out.summary += ", ahead of " + std::to_string(all.size() - 1) + " more";
  } else {
    out.summary = cause + " by " + name + ": no rule knows this text";
  }
  out.summary += "; the server said " + std::string(to_string(verdict.said));
  return verdict;
}

/// What the words say of the text that was judged last.
void Classifier::Impl::explain_words(Explanation& out) const {
  if (!weighed) return;
  for (const auto& reason : weigher.reasons(reply, kReasonsMax)) {
    out.words.push_back({reason.feature, static_cast<double>(reason.weight) / 16});
  }
}

/// The strongest word, or pair of words, that stands in the text as it is.
Classifier::Span Classifier::Impl::span_of_words(const Failure& failure) const {
  const std::string_view text = failure.diagnostic.substr(0, limits::kDiagnosticBytesMax);
  for (const auto& reason : weigher.reasons(reply, kReasonsMax)) {
    const classify::Range range = classify::find_span(text, reason.feature);
    if (range.end != 0) return {range.begin, range.end};
  }
  return {};
}

Classifier::Span Classifier::span(const Failure& failure) {
  Impl& c = *impl_;
  c.prepare(failure, c.provider_of(failure));
  Match winner;
  const bool found = c.matcher.match(c.normalised.text, c.facts, winner);
  if (c.rules->is_learned(c.decide(failure, found ? &winner : nullptr).rule)) {
    return c.span_of_words(failure);
  }
  if (!found || winner.length == 0) return {};
  std::string words = c.literal_of(winner);
  if (c.rules->is_regex(winner.pattern)) {
    words = classify::regex_match(words, c.normalised.text);
  }
  const classify::Range range =
      classify::find_span(failure.diagnostic.substr(0, limits::kDiagnosticBytesMax), words);
  return {range.begin, range.end};
}

void Classifier::Stats::add(const Stats& other) {
  calls += other.calls;
  memo_hits += other.memo_hits;
  scans += other.scans;
  by_code += other.by_code;
  unknown += other.unknown;
}

const Classifier::Stats& Classifier::stats() const {
  return impl_->stats;
}

}  // namespace bounced
