// How good verdicts are on replies that neither rules nor words were made from: files of labelled
// replies, or each file that is learned from judged by what the others teach.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>
#include <memory>
#include <thread>

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
  struct Told {
    std::size_t all = 0, right = 0;
  };
  std::map<unsigned, Told> by_words;  ///< by confidence, percent

  void add(const RuleSet& rules, const Labelled& reply, const Verdict& verdict) {
    const std::string_view cause = cause_id(rules, verdict.cause);
    if (rules.is_learned(verdict.rule)) {
      Told& told = by_words[verdict.confidence];
      ++told.all;
      told.right += reply.accepts(cause) ? 1 : 0;
    }
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
    for (const auto& [confidence, told] : other.by_words) {
      by_words[confidence].all += told.all;
      by_words[confidence].right += told.right;
    }
  }
  /// Whether words are as often right as they say.
  void print_words() const {
    for (const auto& [confidence, told] : by_words) {
      std::printf("by words at confidence %.2f: %zu of %zu right\n", confidence / 100.0, told.right,
                  told.all);
    }
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
    score.add(*rules, reply, verdict);
    const std::string_view cause = cause_id(*rules, verdict.cause);
    if (wrong && !reply.accepts(cause)) {
      std::printf("%s: %s, not %s, by %s (%d): %s\n", reply.where.c_str(), reply.cause.c_str(),
                  std::string(cause).c_str(), std::string(rule_name(*rules, verdict.rule)).c_str(),
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
  files->learned =
      classify::learn(lessons_of(lessons), read_concepts(dir + "/replies/concepts.toml"));
  auto set = RuleSet::build(std::move(*files), "");
  return set ? *set : nullptr;
}

using ByFile = std::map<std::string, std::vector<Labelled>>;

ByFile by_file(const std::vector<Labelled>& replies) {
  ByFile files;
  for (const Labelled& reply : replies) {
    files[reply.where.substr(0, reply.where.find(':'))].push_back(reply);
  }
  return files;
}

struct Arguments {
  bool folds = false, wrong = false;
  std::string source = ".";  ///< of the project
  std::vector<std::string> folders;
};

/// Each file that no rule was made from by what the rules and all other files teach; as many at
/// once as there are processors.
int judge_folds(const Arguments& args, const std::vector<Labelled>& samples,
                const std::vector<Labelled>& replies) {
  const ByFile files = by_file(replies);
  std::vector<std::string> names;
  for (const auto& [name, mine] : files) {
    if (name.starts_with("replies/")) names.push_back(name);
  }
  std::vector<Score> scores(names.size());
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> failed = false;
  const auto work = [&] {
    for (std::size_t i = next++; i < names.size(); i = next++) {
      std::vector<Labelled> lessons = samples;
      for (const auto& [other, theirs] : files) {
        if (other != names[i]) lessons.insert(lessons.end(), theirs.begin(), theirs.end());
      }
      const auto rules = rules_with(args.source + "/rules", lessons);
      if (!rules) {
        failed = true;
        return;
      }
      scores[i] = judge(rules, files.at(names[i]), true, args.wrong);
    }
  };
  {
    std::vector<std::jthread> threads(std::max(1u, std::thread::hardware_concurrency()));
    for (std::jthread& thread : threads) thread = std::jthread(work);
  }
  if (failed) return 3;
  Score all;
  for (std::size_t i = 0; i < names.size(); ++i) {
    scores[i].print(names[i]);
    all.add(scores[i]);
  }
  all.print("each by the others");
  all.print_words();
  return 0;
}

/// Folders that nothing was learned from, by everything that is.
int judge_folders(const Arguments& args, const std::vector<Labelled>& lessons) {
  const auto rules = rules_with(args.source + "/rules", lessons);
  if (!rules) return 3;
  Score plain, all;
  for (const std::string& folder : args.folders) {
    std::vector<Labelled> replies;
    read_replies(folder, replies);
    for (const auto& [name, mine] : by_file(replies)) {
      const Score alone = judge(rules, mine, false, false);
      alone.print(name + ", rules alone");
      plain.add(alone);
      const Score score = judge(rules, mine, true, args.wrong);
      score.print(name);
      all.add(score);
    }
  }
  plain.print("all, rules alone");
  all.print("all");
  all.print_words();
  return 0;
}

int run(const Arguments& args) {
  RuleSetOptions options;
  options.rules_dir = args.source + "/rules";
  const auto files = classify::read_rule_files(options);
  if (!files) {
    std::fprintf(stderr, "bounced-judge: %s\n", files.error().message().c_str());
    return 3;
  }
  const std::vector<Labelled> samples = samples_of(files->rules);
  const auto alone = rules_with(args.source + "/rules", {});
  const std::vector<Labelled> replies =
      read_lessons(alone, {args.source + "/tests/golden/verdicts", args.source + "/rules/replies"});
  if (args.folds) {
    if (const int status = judge_folds(args, samples, replies); status != 0) return status;
  }
  if (args.folders.empty()) return 0;
  std::vector<Labelled> lessons = samples;
  lessons.insert(lessons.end(), replies.begin(), replies.end());
  return judge_folders(args, lessons);
}

constexpr const char* kUsage =
    "usage: bounced-judge [--source DIR] [--wrong] [--folds] [FOLDER...]\n"
    "How many verdicts are right, false hard, missed hard: of the labelled replies of FOLDERs, "
    "which\n"
    "must not be among those that are learned from; with --folds of each file that is, by what "
    "the\n"
    "others teach. --wrong lists what is not right. DIR is the project's folder (default: this "
    "one).\n"
    "example: bounced-judge tests/golden/blind\n";

}  // namespace
}  // namespace bounced

int main(int argc, char** argv) {
  bounced::Arguments args;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--folds") {
      args.folds = true;
    } else if (argument == "--wrong") {
      args.wrong = true;
    } else if (argument == "--source" && i + 1 < argc) {
      args.source = argv[++i];
    } else if (argument.substr(0, 1) != "-") {
      args.folders.emplace_back(argument);
    } else {
      std::fputs(bounced::kUsage, argument == "--help" ? stdout : stderr);
      return argument == "--help" ? 0 : 2;
    }
  }
  if (!args.folds && args.folders.empty()) {
    std::fputs(bounced::kUsage, stderr);
    return 2;
  }
  return bounced::run(args);
}
