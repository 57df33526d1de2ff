#include "classify/measure.h"

#include <time.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/clock.h"
#include "classify/check.h"
#include "classify/finder.h"
#include "classify/normalise.h"
#include "classify/rule_file.h"
#include "classify/rule_set.h"

namespace bounced::classify {
namespace {

/// More texts make a round longer than the time slices that disturb it.
constexpr std::size_t kScanTexts = 2'000;
constexpr std::size_t kMemoTexts = 2'000;  // of 16,384 entries, so that none is pushed out
constexpr int kRounds = 15;
constexpr std::size_t kCostsMax = 50, kFrequentMax = 10;

/// This thread's own time: what others on the machine take does not count.
std::int64_t cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

double ns_between(std::int64_t begun_ns, std::int64_t ended_ns, std::size_t items) {
  return static_cast<double>(ended_ns - begun_ns) / static_cast<double>(items);
}

/// The least of several rounds: what disturbs only ever adds. `work` does `items` things.
template <class Work>
double least_ns(std::size_t items, Work work) {
  double least = 1e18;
  for (int round = 0; round < kRounds; ++round) {
    const std::int64_t begun_ns = cpu_ns();
    work();
    least = std::min(least, ns_between(begun_ns, cpu_ns(), items));
  }
  return least;
}

std::size_t bytes_of(const hs_database_t* database) {
  std::size_t bytes = 0;
  return database != nullptr && hs_database_size(database, &bytes) == HS_SUCCESS ? bytes : 0;
}

/// Patterns made ready to be found, without a rule set around them.
struct Lexicon {
  Texts texts;
  Databases databases;
  Phrases phrases;
};

/// Looks for everything in all texts; the sum keeps compilers from leaving it out.
std::size_t find_all(Finder& finder, const std::vector<std::string>& texts) {
  std::size_t finds = 0;
  for (const std::string& text : texts) finds += finder.run(text).size();
  return finds;
}

/// By pattern: how many texts have it.
std::vector<std::uint64_t> count_texts(Finder& finder, const std::vector<std::string>& texts,
                                       std::size_t patterns) {
  std::vector<std::uint64_t> counts(patterns);
  for (const std::string& text : texts) {
    const auto finds = finder.run(text);
    std::vector<std::uint32_t> found(finds.begin(), finds.end());
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    for (const std::uint32_t pattern : found) ++counts[pattern];
  }
  return counts;
}

class Ranking {
 public:
  Ranking(const RuleSet& rules, const std::vector<std::string>& texts)
      : rules_(rules),
        texts_(texts),
        shipped_(rules.databases, rules.phrases, rules.pattern_texts),
        found_(count_texts(shipped_, texts, rules.pattern_texts.size())) {}

  [[nodiscard]] double scan_ns() {
    return least_ns(texts_.size(), [&] { finds_ += find_all(shipped_, texts_); });
  }

  Result<void> run(const MeasureOptions& options, std::int64_t until_us, Measurement& out) {
    const std::vector<std::uint32_t> order = suspects();
    // Compiled as the sets to compare with are: in one piece.
    auto whole = lexicon_without({});
    if (!whole) return tl::unexpected<Error>(whole.error());
    full_.emplace(whole->databases, whole->phrases, whole->texts);
    auto again = cost_without(UINT32_MAX);  // the same rules, compiled once more
    if (!again) return tl::unexpected<Error>(again.error());
    out.noise_ns = std::abs(*again);
    const std::int64_t begun_us = monotonic_us();
    for (const std::uint32_t rule : order) {
      const std::int64_t now_us = monotonic_us();
      const double by_time = static_cast<double>(now_us - begun_us) /
                             static_cast<double>(std::max<std::int64_t>(1, until_us - begun_us));
      const double by_rules = static_cast<double>(out.ranked) / static_cast<double>(order.size());
      if (options.progress && !options.progress(std::min(1.0, std::max(by_time, by_rules)))) break;
      if (now_us >= until_us) break;
      auto ns = cost_without(rule);
      // What looks dear is measured again: on a busy machine a single difference may be chance.
      if (ns && *ns > 2 * out.noise_ns) {
        auto once_more = cost_without(rule);
        if (!once_more || *once_more < *ns) ns = std::move(once_more);
      }
      if (!ns) return tl::unexpected<Error>(ns.error());
      ++out.ranked;
      // Differences of two least times have the noise of both.
      if (*ns > 2 * out.noise_ns) out.costs.push_back(cost_of(rule, *ns));
    }
    std::stable_sort(out.costs.begin(), out.costs.end(),
                     [](const RuleCost& a, const RuleCost& b) { return a.ns > b.ns; });
    if (out.costs.size() > kCostsMax) out.costs.resize(kCostsMax);
    return {};
  }

  std::vector<LiteralCost> frequent() const {
    std::vector<LiteralCost> all;
    for (std::uint32_t p = 0; p < rules_.pattern_texts.size(); ++p) {
      if (found_[p] != 0) all.push_back(literal_of(p));
    }
    most_first(all);
    if (all.size() > kFrequentMax) all.resize(kFrequentMax);
    return all;
  }

 private:
  static void most_first(std::vector<LiteralCost>& all) {
    std::stable_sort(all.begin(), all.end(),
                     [](const LiteralCost& a, const LiteralCost& b) { return a.texts > b.texts; });
  }
  [[nodiscard]] LiteralCost literal_of(std::uint32_t p) const {
    const std::string text(rules_.pattern_texts[p]);
    return {rules_.is_regex(p) ? "/" + text + "/" : text, found_[p]};
  }

  /// A rule's patterns, and whether it is the only one to use them.
  template <class Each>
  void each_pattern(std::uint32_t rule, Each each) const {
    for (std::uint32_t p = 0; p < rules_.patterns.size(); ++p) {
      const auto uses = RuleSet::part(rules_.references, rules_.patterns[p].uses);
      bool mine = false;
      bool others = rules_.patterns[p].guard != 0;  // shared by `not` of several
      for (const RuleSet::Reference& use : uses) (use.rule == rule ? mine : others) = true;
      if (mine) each(p, !others);
    }
  }

  /// All rules with a text, those that are likely to cost something first: regexes, then finds,
  /// then phrases that are often looked for around a word.
  [[nodiscard]] std::vector<std::uint32_t> suspects() const {
    const std::vector<std::uint64_t> compared = count_comparisons();
    std::vector<double> score(rules_.rule_count(), -1);
    for (std::uint32_t p = 0; p < rules_.patterns.size(); ++p) {
      const double weight = rules_.is_regex(p) ? 1e9
                                               : 8.0 * static_cast<double>(found_[p]) +
                                                     static_cast<double>(compared[p]);
      for (const RuleSet::Reference& use :
           RuleSet::part(rules_.references, rules_.patterns[p].uses)) {
        score[use.rule] = std::max(0.0, score[use.rule]) + weight;
      }
    }
    std::vector<std::uint32_t> order;
    for (std::uint32_t r = 0; r < score.size(); ++r) {
      if (score[r] >= 0) order.push_back(r);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return score[a] > score[b]; });
    return order;
  }

  /// By pattern: how often a word makes it a candidate.
  [[nodiscard]] std::vector<std::uint64_t> count_comparisons() const {
    std::vector<std::uint64_t> counts(rules_.patterns.size());
    std::vector<Candidate> candidates;
    for (const std::string& text : texts_) {
      candidates.clear();
      for (std::size_t from = 0; from < text.size();) {
        const std::size_t to = std::min(text.find(' ', from), text.size());
        const std::string_view word = std::string_view(text).substr(from, to - from);
        rules_.phrases.add_candidates(word, rules_.pattern_texts, candidates);
        from = to + 1;
      }
      for (const Candidate& candidate : candidates) ++counts[candidate.pattern];
    }
    return counts;
  }

  [[nodiscard]] Result<Lexicon> lexicon_without(const std::set<std::uint32_t>& dropped) const {
    Patterns patterns;
    Lexicon out;
    for (std::uint32_t p = 0; p < rules_.pattern_texts.size(); ++p) {
      if (dropped.count(p) != 0) continue;
      (rules_.is_regex(p) ? patterns.regexes : patterns.literals)
          .emplace_back(rules_.pattern_texts[p]);
      out.texts.add(rules_.pattern_texts[p]);
    }
    auto databases = make_databases(patterns, "");
    if (!databases) return tl::unexpected<Error>(databases.error());
    out.databases = std::move(*databases);
    out.phrases = Phrases(patterns.literals);
    return out;
  }

  /// What a text's scan costs less without the patterns that only this rule uses; nanoseconds.
  Result<double> cost_without(std::uint32_t rule) {
    std::set<std::uint32_t> dropped;
    if (rule != UINT32_MAX) {
      each_pattern(rule, [&](std::uint32_t p, bool alone) {
        if (alone) dropped.insert(p);
      });
      if (dropped.empty()) return 0.0;
    }
    const auto fewer = lexicon_without(dropped);
    if (!fewer) return tl::unexpected<Error>(fewer.error());
    Finder without(fewer->databases, fewer->phrases, fewer->texts);
    double with_ns = 1e18;
    double without_ns = 1e18;
    for (int round = 0; round < kRounds; ++round) {  // in turn: both meet the same disturbance
      const std::int64_t a = cpu_ns();
      finds_ += find_all(*full_, texts_);
      const std::int64_t b = cpu_ns();
      finds_ += find_all(without, texts_);
      const std::int64_t c = cpu_ns();
      with_ns = std::min(with_ns, ns_between(a, b, texts_.size()));
      without_ns = std::min(without_ns, ns_between(b, c, texts_.size()));
    }
    return with_ns - without_ns;
  }

  [[nodiscard]] RuleCost cost_of(std::uint32_t rule, double ns) const {
    RuleCost cost{rules_.rules()[rule].id, rules_.rules()[rule].where(), ns, {}};
    each_pattern(rule, [&](std::uint32_t p, bool) {
      if (found_[p] != 0 || rules_.is_regex(p)) cost.literals.push_back(literal_of(p));
    });
    most_first(cost.literals);
    return cost;
  }

  const RuleSet& rules_;
  const std::vector<std::string>& texts_;
  Finder shipped_;
  std::vector<std::uint64_t> found_;  ///< by pattern: texts that have it
  std::optional<Finder> full_;
  std::size_t finds_ = 0;
};

/// Distinct texts only; at most `most`, spread over all of them.
std::vector<CorpusText> distinct(std::vector<CorpusText> corpus) {
  std::set<std::string> known;
  std::vector<CorpusText> out;
  for (CorpusText& text : corpus) {
    if (known.insert(text.diagnostic).second) out.push_back(std::move(text));
  }
  return out;
}

template <class T>
std::vector<const T*> spread(const std::vector<T>& all, std::size_t most) {
  std::vector<const T*> some;
  const std::size_t step = std::max<std::size_t>(1, (all.size() + most - 1) / most);
  for (std::size_t i = 0; i < all.size(); i += step) some.push_back(&all[i]);
  return some;
}

void measure_calls(const std::shared_ptr<const RuleSet>& rules,
                   const std::vector<CorpusText>& corpus, const MeasureOptions& options,
                   Measurement& out) {
  const auto some = spread(corpus, kScanTexts);
  Classifier plain(rules, {false, options.sending_ips});
  out.call_ns = least_ns(some.size(), [&] {
    for (const CorpusText* text : some) (void)plain.classify(text->failure());
  });
  Normaliser normaliser{SendingIps(options.sending_ips)};
  Normalised normal;
  out.normalise_ns = least_ns(some.size(), [&] {
    for (const CorpusText* text : some) normaliser.run(text->diagnostic, text->smtp_code, normal);
  });
  const auto few = spread(corpus, kMemoTexts);
  Classifier memo(rules, {true, options.sending_ips});
  out.memo_hit_ns = least_ns(few.size(), [&] {
    for (const CorpusText* text : few) (void)memo.classify(text->failure());
  });
}

}  // namespace

Failure CorpusText::failure() const {
  Failure failure;
  failure.diagnostic = diagnostic;
  failure.smtp_code = smtp_code;
  failure.enhanced = enhanced;
  failure.phase = phase;
  failure.kind = kind;
  failure.mta_host = mta_host;
  return failure;
}

std::vector<CorpusText> sample_corpus(const RuleSet& rules) {
  std::vector<CorpusText> corpus;
  for (const Rule& rule : rules.rules()) {
    for (const auto* samples : {&rule.samples, &rule.misses}) {
      for (const Sample& sample : *samples) {
        const Failure failure = failure_of(rule, sample);
        corpus.push_back({sample.text, std::string(failure.mta_host), failure.smtp_code,
                          failure.enhanced, failure.phase, failure.kind});
      }
    }
  }
  return corpus;
}

Result<Measurement> measure_rules(const RuleSetOptions& rules, std::vector<CorpusText> corpus,
                                  const MeasureOptions& options) {
  const std::int64_t begun_us = monotonic_us();
  const std::int64_t begun_ns = cpu_ns();
  auto files = read_rule_files(rules);
  if (!files) return tl::unexpected<Error>(files.error());
  RuleSet::validate(*files);
  if (auto error = first_error(files->problems)) return tl::unexpected<Error>(*error);
  const std::int64_t read_ns = cpu_ns();
  auto built = RuleSet::build(std::move(*files), "");
  if (!built) return tl::unexpected<Error>(built.error());
  const RuleSet& set = **built;
  Measurement out;
  out.read_ms = static_cast<double>(read_ns - begun_ns) / 1e6;
  out.compile_ms = static_cast<double>(cpu_ns() - read_ns) / 1e6;
  out.rules = set.rule_count();
  out.literals = set.literals;
  out.regexes = set.pattern_texts.size() - set.literals;
  out.literal_database_bytes = bytes_of(set.databases.known.get()) +
                               bytes_of(set.databases.literals.get()) + set.phrases.bytes();
  out.regex_database_bytes = bytes_of(set.databases.regexes.get());
  if (corpus.empty()) corpus = sample_corpus(set);
  corpus = distinct(std::move(corpus));
  if (corpus.empty()) {
    return fail(ErrorCode::not_found, "rules bench", "", "no text to measure with",
                "name a file of diagnostics, or give the rules samples");
  }
  out.texts = corpus.size();
  for (const CorpusText& text : corpus) out.bytes += text.diagnostic.size();
  measure_calls(*built, corpus, options, out);
  std::vector<std::string> texts;
  Normaliser normaliser{SendingIps(options.sending_ips)};
  Normalised normal;
  for (const CorpusText* text : spread(corpus, kScanTexts)) {
    normaliser.run(text->diagnostic, text->smtp_code, normal);
    if (!normal.text.empty()) texts.emplace_back(normal.text);
  }
  out.scanned = texts.size();
  if (texts.empty()) return out;
  Ranking ranking(set, texts);
  out.scan_ns = ranking.scan_ns();
  out.frequent = ranking.frequent();
  if (options.budget_us <= 0) return out;
  if (auto ranked = ranking.run(options, begun_us + options.budget_us, out); !ranked) {
    return tl::unexpected<Error>(ranked.error());
  }
  return out;
}

}  // namespace bounced::classify
