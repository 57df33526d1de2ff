#include "classify/check.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "classify/normalise.h"
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

/// Runs samples against the compiled set.
class SampleCheck {
 public:
  SampleCheck(std::shared_ptr<const RuleSet> rules, std::vector<CauseEntry> causes,
              CheckReport& report)
      : rules_(std::move(rules)),
        causes_(std::move(causes)),
        classifier_(rules_),
        report_(report) {}

  void run() {
    for (std::size_t r = 0; r < rules_->rule_count(); ++r) {
      const Rule& rule = rules_->rules()[r];
      if (rule.samples.empty()) {
        warn(rule, rule.line, "no sample", "every rule carries a reply that makes it win");
      }
      for (const Sample& sample : rule.samples)
        check_sample(rule, static_cast<RuleId>(r + 1), sample);
      for (const Sample& miss : rule.misses) check_miss(rule, static_cast<RuleId>(r + 1), miss);
    }
    check_reached();
    check_shadowed();
  }

 private:
  void error(const Rule& rule, std::uint32_t line, string message, string hint) {
    report_.problems.push_back({Problem::Level::error, rule.file, line == 0 ? rule.line : line,
                                rule.id, std::move(message), std::move(hint)});
  }
  void warn(const Rule& rule, std::uint32_t line, string message, string hint) {
    report_.problems.push_back(
        {Problem::Level::warning, rule.file, line, rule.id, std::move(message), std::move(hint)});
  }

  void check_sample(const Rule& rule, RuleId id, const Sample& sample) {
    ++report_.samples;
    Explanation why;
    const Verdict verdict = classifier_.explain(failure_of(rule, sample), why);
    if (verdict.rule == id) {
      reached_.insert(verdict.cause);
      return;
    }
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
    Explanation why;
    const Verdict verdict = classifier_.explain(failure_of(rule, miss), why);
    if (verdict.rule != id) return;
    error(rule, miss.line, "miss \"" + miss.text + "\" is won by this rule",
          why.matches.front().why);
  }

  void check_reached() {
    for (const CauseInfo& info : rules_->causes) {
      const bool by_code =
          info.cause == Cause::unknown_temporary || info.cause == Cause::unknown_permanent;
      if (by_code || reached_.count(info.cause) != 0) continue;
      const auto entry = std::find_if(causes_.begin(), causes_.end(), [&](const CauseEntry& cause) {
        return cause.info.id == info.id;
      });
      if (entry == causes_.end()) continue;
      report_.problems.push_back({Problem::Level::warning, entry->file, entry->line, info.id,
                                  "no rule's sample reaches this cause",
                                  "add a rule with samples"});
    }
  }

  /// A literal is shadowed when it makes a stronger rule of another cause match as well.
  void check_shadowed() {
    for (std::size_t r = 0; r < rules_->rule_count(); ++r) {
      const Rule& rule = rules_->rules()[r];
      if (!rule.has_text() || !rule.all.empty() || !rule.with.empty() || !rule.regex.empty())
        continue;
      for (const string& literal : rule.any) {
        Sample bare;
        bare.text = literal;
        if (const Rule* other = shadow_of(rule, bare)) {
          warn(rule, rule.line, "literal `" + literal + "` alone is won by " + other->id,
               "at " + other->where());
        }
      }
    }
  }

  const Rule* shadow_of(const Rule& rule, const Sample& bare) {
    Explanation why;
    Failure failure = failure_of(rule, bare);
    if (!rule.smtp.empty()) failure.smtp_code = rule.smtp.front().low;
    if (!rule.enhanced.empty()) {
      const EnhancedPattern& p = rule.enhanced.front();
      failure.enhanced = {p.subject == 0xffff ? std::uint16_t{0} : p.subject,
                          p.detail == 0xffff ? std::uint16_t{0} : p.detail,
                          p.klass == 0 ? std::uint8_t{5} : p.klass};
    }
    const Verdict verdict = classifier_.explain(failure, why);
    if (verdict.rule == kNoRule || verdict.rule > rules_->rule_count()) return nullptr;
    const Rule& winner = rules_->rules()[verdict.rule - 1];
    return winner.id == rule.id || winner.cause == rule.cause ? nullptr : &winner;
  }

  std::shared_ptr<const RuleSet> rules_;
  std::vector<CauseEntry> causes_;
  Classifier classifier_;
  CheckReport& report_;
  std::set<Cause> reached_;
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

CheckReport check_files(RuleFiles files) {
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
    std::vector<CauseEntry> causes = files.causes;
    auto rules = RuleSet::build(std::move(files), "");
    if (!rules) {
      report.problems.push_back({Problem::Level::error, rules.error().where, 0, "",
                                 rules.error().why, rules.error().hint});
    } else {
      SampleCheck(*rules, std::move(causes), report).run();
    }
  }
  std::stable_sort(report.problems.begin(), report.problems.end(),
                   [](const Problem& a, const Problem& b) {
                     return std::tie(a.level, a.file, a.line) < std::tie(b.level, b.file, b.line);
                   });
  return report;
}

}  // namespace

std::size_t CheckReport::errors() const {
  return static_cast<std::size_t>(
      std::count_if(problems.begin(), problems.end(),
                    [](const Problem& p) { return p.level == Problem::Level::error; }));
}

Result<CheckReport> check_rules(const RuleSetOptions& options) {
  auto files = read_rule_files(options);
  if (!files) return tl::unexpected<Error>(files.error());
  return check_files(std::move(*files));
}

CheckReport check_rule_text(std::string_view causes, std::string_view rules) {
  RuleFiles files;
  read_rule_text(causes, "causes.toml", 0, files);
  read_rule_text(rules, "rules.toml", 0, files);
  return check_files(std::move(files));
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
      Normaliser normaliser;
      Normalised normal;
      normaliser.run(sample.text, sample.smtp_code, normal);
      const std::uint16_t code = normal.smtp_code != 0 ? normal.smtp_code : sample.smtp_code;
      failure.kind = code / 100 == 4 ? EventKind::deferred : EventKind::bounced;
    }
  }
  return failure;
}

}  // namespace bounced::classify
