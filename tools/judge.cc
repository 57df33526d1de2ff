// How good verdicts are on replies that neither rules nor words were made from: files of labelled
// replies, or each file of rules/replies judged by what the others teach.
#include <cstdio>
#include <cstring>
#include <memory>
#include <set>

#include "classify/rule_file.h"
#include "classify/rule_set.h"
#include "labelled.h"

namespace bounced {
namespace {

bool is_hard(const RuleSet& rules, std::string_view cause) {
  return rules.info(find_cause(rules, cause)).bounce_class == BounceClass::hard;
}

/// Counts of one file.
struct Score {
  std::size_t all = 0, right = 0, dead = 0, false_hard = 0, missed_hard = 0;

  void add(const RuleSet& rules, const Labelled& reply, std::string_view cause) {
    std::vector<std::string> labels = reply.accept;
    labels.push_back(reply.cause);
    const auto hard = [&](const std::string& label) { return is_hard(rules, label); };
    const bool only = std::all_of(labels.begin(), labels.end(), hard);
    const bool none = std::none_of(labels.begin(), labels.end(), hard);
    ++all;
    right += reply.accepts(cause) ? 1 : 0;
    dead += only ? 1 : 0;
    false_hard += none && is_hard(rules, cause) ? 1 : 0;
    missed_hard += only && !is_hard(rules, cause) ? 1 : 0;
  }
  void add(const Score& other) {
    all += other.all;
    right += other.right;
    dead += other.dead;
    false_hard += other.false_hard;
    missed_hard += other.missed_hard;
  }
  void print(const std::string& name) const {
    const auto percent = [](std::size_t part, std::size_t of) {
      return of == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(of);
    };
    std::printf(
        "%-28s %5zu  right %5.1f %%  false hard %3zu of %4zu (%.1f %%)  missed %3zu of %4zu (%.1f "
        "%%)\n",
        name.c_str(), all, percent(right, all), false_hard, all - dead,
        percent(false_hard, all - dead), missed_hard, dead, percent(missed_hard, dead));
  }
};

Score judge(const std::shared_ptr<const RuleSet>& rules, const std::vector<Labelled>& replies,
            bool words, bool wrong) {
  Classifier classifier(rules, {false, {}, words});
  Score score;
  for (const Labelled& reply : replies) {
    const Verdict verdict = classifier.classify(reply.failure());
    const std::string cause(cause_id(*rules, verdict.cause));
    score.add(*rules, reply, cause);
    if (wrong && !reply.accepts(cause)) {
      std::printf("%s: %s, not %s, by %s (%d): %s\n", reply.where.c_str(), reply.cause.c_str(),
                  cause.c_str(), std::string(rule_name(*rules, verdict.rule)).c_str(),
                  verdict.confidence, reply.diagnostic.c_str());
    }
  }
  return score;
}

std::shared_ptr<const RuleSet> rules_with(const std::string& dir,
                                          const std::vector<Labelled>& lessons) {
  RuleSetOptions options;
  options.rules_dir = dir;
  auto files = classify::read_rule_files(options);
  if (!files) return {};
  RuleSet::validate(*files);
  files->learned = classify::learn(lessons_of(lessons));
  auto set = RuleSet::build(std::move(*files), "");
  return set ? *set : nullptr;
}

std::string file_of(const Labelled& reply) {
  return reply.where.substr(0, reply.where.find(':'));
}

int run(const std::string& dir, const std::vector<std::string>& folders, bool folds, bool wrong) {
  RuleSetOptions options;
  options.rules_dir = dir;
  const auto files = classify::read_rule_files(options);
  if (!files) return 3;
  const std::vector<Labelled> samples = samples_of(files->rules);
  const std::vector<Labelled> replies = read_replies(dir + "/replies");
  std::vector<Labelled> lessons = samples;
  lessons.insert(lessons.end(), replies.begin(), replies.end());
  if (folds) {
    std::set<std::string> names;
    Score all;
    for (const Labelled& reply : replies) names.insert(file_of(reply));
    for (const std::string& name : names) {
      std::vector<Labelled> others = samples, mine;
      for (const Labelled& reply : replies)
        (file_of(reply) == name ? mine : others).push_back(reply);
      const auto rules = rules_with(dir, others);
      if (!rules) return 3;
      const Score score = judge(rules, mine, true, wrong);
      score.print(name);
      all.add(score);
    }
    all.print("each by the others");
  }
  if (folders.empty()) return 0;
  const auto rules = rules_with(dir, lessons);
  if (!rules) return 3;
  Score by_rules, all;
  for (const std::string& folder : folders) {
    const std::vector<Labelled> test = read_replies(folder);
    std::set<std::string> names;
    for (const Labelled& reply : test) names.insert(file_of(reply));
    for (const std::string& name : names) {
      std::vector<Labelled> mine;
      for (const Labelled& reply : test)
        if (file_of(reply) == name) mine.push_back(reply);
      judge(rules, mine, false, false).print(name + ", rules alone");
      const Score score = judge(rules, mine, true, wrong);
      score.print(name);
      all.add(score);
    }
  }
  all.print("all");
  return 0;
}

}  // namespace
}  // namespace bounced

int main(int argc, char** argv) {
  bool folds = false, wrong = false;
  std::string dir = "rules";
  std::vector<std::string> folders;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--folds") == 0)
      folds = true;
    else if (std::strcmp(argv[i], "--wrong") == 0)
      wrong = true;
    else if (std::strcmp(argv[i], "--rules") == 0 && i + 1 < argc)
      dir = argv[++i];
    else
      folders.emplace_back(argv[i]);
  }
  return bounced::run(dir, folders, folds, wrong);
}
