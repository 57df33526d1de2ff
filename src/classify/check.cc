#include "classify/check.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "classify/rule_file.h"
#include "classify/rule_set.h"

namespace bounced::classify {
namespace {

using std::string;

/// Zoho's temporary list (reference: taxonomy); `others` stands in both.
bool temporary_category(Category category) {
  switch (category) {
    case Category::none:
    case Category::temporary_domain_failure:
    case Category::out_of_office:
    case Category::authentication_failure:
    case Category::mailbox_full:
    case Category::temporary_network_error:
    case Category::content_related:
    case Category::others:
      return true;
    default:
      return false;
  }
}

/// Zoho's permanent list.
bool permanent_category(Category category) {
  return category == Category::others || !temporary_category(category);
}

/// How often each category is shown, by list; `others` stands in both.
class CategoryCount {
 public:
  void see(const Verdict& verdict) {
    const auto n = static_cast<std::size_t>(verdict.category);
    if (verdict.category == Category::others) {
      ++(verdict.said == Severity::temporary ? temporary_ : permanent_)[n];
    } else {
      ++temporary_[n], ++permanent_[n];
    }
  }
  /// Calls each(list, category, count) for every category of both lists.
  template <class Each>
  void visit(Each each) const {
    for (std::size_t n = 1; n < kCategories; ++n) {
      const auto category = static_cast<Category>(n);
      if (temporary_category(category)) each("temporary", category, temporary_[n]);
      if (permanent_category(category)) each("permanent", category, permanent_[n]);
    }
  }

 private:
  static constexpr std::size_t kCategories = static_cast<std::size_t>(Category::potential_spam) + 1;
  std::size_t temporary_[kCategories] = {}, permanent_[kCategories] = {};
};

constexpr std::size_t kTextsPerCategory = 3;

/// Runs samples against the compiled set.
class SampleCheck {
 public:
  /// `whole`: the set has to have everything that a taxonomy has.
  SampleCheck(std::shared_ptr<const RuleSet> rules, bool whole, CheckReport& report)
      : rules_(std::move(rules)),
        whole_(whole ? Problem::Level::error : Problem::Level::warning),
        classifier_(rules_, {false, {}, false}),
        report_(report) {}

  /// Every sample wins, no miss does.
  void run() {
    for (std::size_t r = 0; r < rules_->rule_count(); ++r) {
      const Rule& rule = rules_->rules()[r];
      const auto id = static_cast<RuleId>(r + 1);
      for (const Sample& sample : rule.samples) check_sample(rule, id, sample);
      for (const Sample& miss : rule.misses) check_miss(rule, id, miss);
    }
  }

  /// What is not wrong with any one sample.
  void run_proofs(const std::vector<CauseEntry>& causes) {
    for (const Rule& rule : rules_->rules()) {
      if (!rule.samples.empty()) continue;
      add(Problem::Level::warning, rule, rule.line, "no sample",
          "every rule carries a reply that makes it win");
    }
    check_reached(causes);
    check_shadowed();
    check_categories_shown();
    note_overridden();
  }

 private:
  void add(Problem::Level level, const Rule& rule, std::uint32_t line, string message,
           string hint) {
    report_.problems.push_back({level, rule.file, line == 0 ? rule.line : line, rule.id,
                                std::move(message), std::move(hint)});
  }
  void error(const Rule& rule, std::uint32_t line, string message, string hint) {
    add(Problem::Level::error, rule, line, std::move(message), std::move(hint));
  }
  [[nodiscard]] const Rule* rule_of(RuleId id) const {
    return id == kNoRule || id > rules_->rule_count() ? nullptr : &rules_->rules()[id - 1];
  }

  void check_sample(const Rule& rule, RuleId id, const Sample& sample) {
    ++report_.samples;
    const Failure failure = failure_of(rule, sample, normaliser_);
    const Verdict verdict = classifier_.classify(failure);
    if (verdict.said == Severity::temporary && !temporary_category(verdict.category)) {
      error(rule, sample.line,
            "sample \"" + sample.text + "\" is a 4xx, but shows the permanent category `" +
                string(to_string(verdict.category)) + "`",
            "see category_temporary of " + rule.cause);
    }
    if (verdict.rule == id) {
      reached_.insert(verdict.cause);
      shown_.see(verdict);
      return;
    }
    const Rule* const winner = rule_of(verdict.rule);
    if (winner != nullptr && winner->precedence > rule.precedence) {
      ++report_.overridden;
      overrides_[verdict.rule].push_back(&rule);
      return;
    }
    lost(rule, sample, failure, verdict);
  }

  void lost(const Rule& rule, const Sample& sample, const Failure& failure,
            const Verdict& verdict) {
    Explanation why;
    (void)classifier_.explain(failure, why);
    const string winner(rule_name(*rules_, verdict.rule));
    const auto mine = std::find_if(why.matches.begin(), why.matches.end(),
                                   [&](const auto& m) { return m.rule == rule.id; });
    const string text = "sample \"" + sample.text + "\"";
    if (mine == why.matches.end()) {
      error(rule, sample.line, text + " does not match; " + winner + " wins",
            "normalised: \"" + why.normalised + "\" " + codes(why));
    } else {
      error(rule, sample.line, text + " is won by " + winner,
            why.matches.front().why + "; this rule " + mine->why);
    }
  }

  static string codes(const Explanation& why) {
    string text = "smtp " + std::to_string(why.smtp_code);
    if (why.enhanced.present()) {
      text += " enhanced " + std::to_string(why.enhanced.klass) + "." +
              std::to_string(why.enhanced.subject) + "." + std::to_string(why.enhanced.detail);
    }
    if (!why.provider.empty()) text += " provider " + why.provider;
    return text;
  }

  void check_miss(const Rule& rule, RuleId id, const Sample& miss) {
    ++report_.misses;
    const Failure failure = failure_of(rule, miss, normaliser_);
    if (classifier_.classify(failure).rule != id) return;
    Explanation why;
    (void)classifier_.explain(failure, why);
    error(rule, miss.line, "miss \"" + miss.text + "\" is won by this rule",
          why.matches.front().why + "; say more, or add a `not`");
  }

  void check_reached(const std::vector<CauseEntry>& causes) {
    for (const CauseEntry& entry : causes) {
      const Cause cause = find_cause(*rules_, entry.info.id);
      const bool by_code = cause == Cause::unknown_temporary || cause == Cause::unknown_permanent;
      if (by_code || reached_.count(cause) != 0) continue;
      report_.problems.push_back(
          {builtin_cause(entry.info.id) == Cause::none ? Problem::Level::warning : whole_,
           entry.file, entry.line, entry.info.id, "no rule's sample reaches this cause",
           "add a rule with samples"});
    }
  }

  /// A literal is shadowed when it makes a stronger rule of another cause match as well.
  void check_shadowed() {
    for (const Rule& rule : rules_->rules()) {
      if (!rule.has_text() || !rule.all.empty() || !rule.with.empty() || !rule.regex.empty()) {
        continue;
      }
      for (const string& literal : rule.any) {
        Sample bare;
        bare.text = literal;
        if (const Rule* other = shadow_of(rule, bare)) {
          add(Problem::Level::warning, rule, rule.line,
              "literal `" + literal + "` alone is won by " + other->id,
              "at " + other->where() + "; write more of the words around it, or drop it");
        }
      }
    }
  }

  const Rule* shadow_of(const Rule& rule, const Sample& bare) {
    Failure failure = failure_of(rule, bare, normaliser_);
    if (!rule.smtp.empty()) failure.smtp_code = rule.smtp.front().low;
    if (!rule.enhanced.empty()) {
      const EnhancedPattern& p = rule.enhanced.front();
      failure.enhanced = {p.subject == 0xffff ? std::uint16_t{0} : p.subject,
                          p.detail == 0xffff ? std::uint16_t{0} : p.detail,
                          p.klass == 0 ? std::uint8_t{5} : p.klass};
    }
    const Rule* const winner = rule_of(classifier_.classify(failure).rule);
    if (winner == nullptr || winner->id == rule.id || winner->cause == rule.cause) return nullptr;
    return winner->precedence > rule.precedence ? nullptr : winner;  // as it was asked to
  }

  void check_categories_shown() {
    shown_.visit([&](const char* list, Category category, std::size_t count) {
      if (count >= kTextsPerCategory) return;
      report_.problems.push_back({whole_, "causes.toml", 0, "",
                                  "category `" + string(to_string(category)) + "` of the " + list +
                                      " list is shown by " + std::to_string(count) +
                                      " of the samples, not by " +
                                      std::to_string(kTextsPerCategory),
                                  "add samples to a rule whose cause has that category"});
    });
  }

  void note_overridden() {
    for (const auto& [id, rules] : overrides_) {
      const Rule& winner = *rule_of(id);
      add(Problem::Level::note, winner, winner.line,
          "takes over " + std::to_string(rules.size()) + " sample(s) of other rules, e.g. of " +
              rules.front()->id + " (" + rules.front()->cause + ")",
          "if it should not: say more, or add a `not`");
    }
  }

  std::shared_ptr<const RuleSet> rules_;
  Problem::Level whole_;
  Classifier classifier_;
  Normaliser normaliser_;
  CheckReport& report_;
  std::set<Cause> reached_;
  CategoryCount shown_;
  std::map<RuleId, std::vector<const Rule*>> overrides_;  ///< winner -> whose samples it has
};

void check_categories(const RuleFiles& files, CheckReport& report) {
  for (const CauseEntry& entry : files.causes) {
    const auto complain = [&](string message) {
      report.problems.push_back({Problem::Level::error, entry.file, entry.line, entry.info.id,
                                 std::move(message), "see the two lists of the taxonomy"});
    };
    if (!temporary_category(entry.info.category_temporary)) {
      complain("category_temporary `" + string(to_string(entry.info.category_temporary)) +
               "` is of the permanent list: a 4xx would show it");
    }
    if (entry.info.temporary_by_nature &&
        entry.info.category_permanent != entry.info.category_temporary) {
      complain("temporary by nature, but the two categories differ");
    }
  }
}

CheckReport check_files(RuleFiles files, bool whole) {
  CheckReport report;
  report.rules = files.rules.size();
  RuleSet::validate(files);
  report.problems = files.problems;
  check_categories(files, report);
  const bool loadable =
      std::none_of(files.problems.begin(), files.problems.end(), [](const Problem& p) {
        return p.level == Problem::Level::error && p.message.find("no such cause") == 0;
      });
  if (loadable) {
    const std::vector<CauseEntry> causes = files.causes;
    auto rules = RuleSet::build(std::move(files), "");
    if (!rules) {
      report.problems.push_back({Problem::Level::error, rules.error().where, 0, "",
                                 rules.error().why, rules.error().hint});
    } else {
      SampleCheck check(*rules, whole, report);
      check.run();
      check.run_proofs(causes);
    }
  }
  std::stable_sort(report.problems.begin(), report.problems.end(),
                   [](const Problem& a, const Problem& b) {
                     return std::tie(a.level, a.file, a.line) < std::tie(b.level, b.file, b.line);
                   });
  return report;
}

}  // namespace

std::size_t CheckReport::count(Problem::Level level) const {
  return static_cast<std::size_t>(std::count_if(
      problems.begin(), problems.end(), [&](const Problem& p) { return p.level == level; }));
}

Result<CheckReport> check_rules(const RuleSetOptions& options) {
  auto files = read_rule_files(options);
  if (!files) return tl::unexpected<Error>(files.error());
  return check_files(std::move(*files), options.rules_dir.empty());
}

CheckReport check_rule_text(std::string_view causes, std::string_view rules) {
  RuleFiles files;
  read_rule_text(causes, "causes.toml", 0, files);
  read_rule_text(rules, "rules.toml", 0, files);
  return check_files(std::move(files), false);
}

bool decided_by_text(const RuleSet& rules, const Verdict& verdict) {
  if (verdict.rule == kNoRule || verdict.rule > rules.rule_count()) return false;
  return (rules.compiled[verdict.rule - 1].rank & RuleSet::kTextRank) != 0;
}

Result<std::vector<Problem>> try_rules(const RuleSetOptions& options, std::string_view text) {
  auto files = read_rule_files(options);
  if (!files) return tl::unexpected<Error>(files.error());
  if (auto error = first_error(files->problems)) return tl::unexpected<Error>(*error);
  const string name = "tried.toml";
  const auto first = static_cast<std::uint32_t>(options.operator_dirs.size());
  read_rule_text(text, name, std::max(1u, first), *files);
  CheckReport report = check_files(std::move(*files), false);
  std::erase_if(report.problems, [&](const Problem& p) {
    return p.file != name || p.level == Problem::Level::warning;
  });
  return std::move(report.problems);
}

Result<CheckedRules> load_checked(const RuleSetOptions& options) {
  auto rules = load_rules(options);
  if (!rules) return tl::unexpected<Error>(rules.error());
  CheckedRules checked{*rules, (*rules)->rule_count(), 0};
  if (options.rules_dir.empty() && options.operator_dirs.empty()) return checked;
  CheckReport report;
  SampleCheck(*rules, false, report).run();
  if (auto error = first_error(report.problems)) return tl::unexpected<Error>(*error);
  checked.samples = report.samples;
  return checked;
}

std::vector<RuleListing> list_rules(const RuleSet& rules) {
  std::vector<RuleListing> listings;
  for (const Rule& rule : rules.rules()) {
    RuleListing listing{rule.id, rule.cause, rule.where(), rule.any};
    for (const string& text : rule.with) listing.literals.push_back("&" + text);
    for (const string& text : rule.all) listing.literals.push_back("+" + text);
    for (const string& text : rule.none) listing.literals.push_back("-" + text);
    for (const string& text : rule.regex) listing.literals.push_back("/" + text + "/");
    listings.push_back(std::move(listing));
  }
  return listings;
}

Failure failure_of(const Rule& rule, const Sample& sample) {
  Normaliser normaliser;
  return failure_of(rule, sample, normaliser);
}

Failure failure_of(const Rule& rule, const Sample& sample, Normaliser& normaliser) {
  Failure failure;
  failure.diagnostic = sample.text;
  failure.smtp_code = sample.smtp_code;
  failure.enhanced = sample.enhanced;
  failure.mta_host = sample.mta;
  failure.recipient_domain = sample.recipient_domain;
  if (sample.mta.empty() && sample.recipient_domain.empty() && !rule.providers.empty()) {
    failure.mta_host = rule.providers.front();
  }
  failure.phase = sample.phase;
  if (sample.phase == Phase::none && !rule.phases.empty()) failure.phase = rule.phases.front();
  failure.kind = sample.kind;
  if (sample.kind == EventKind::none) {
    if (!rule.kinds.empty()) {
      failure.kind = rule.kinds.front();
    } else {
      // A deferral when the reply says so.
      Normalised normal;
      normaliser.run(sample.text, sample.smtp_code, normal);
      const std::uint16_t code = normal.smtp_code != 0 ? normal.smtp_code : sample.smtp_code;
      failure.kind = code / 100 == 4 ? EventKind::deferred : EventKind::bounced;
    }
  }
  return failure;
}

}  // namespace bounced::classify
