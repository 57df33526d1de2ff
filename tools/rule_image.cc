// Runs during the build: loads the built-in rules as the program would, learns what words weigh
// from their samples and from labelled replies, and writes the image of both.
#include <cstdio>
#include <fstream>

#include "classify/rule_file.h"
#include "classify/rule_set.h"
#include "labelled.h"

namespace bounced {
std::string_view rule_image();
/// This program has none: it makes one.
std::string_view rule_image() {
  return {};
}
}  // namespace bounced

namespace {

/// Empty when the rules are no good: the program then reads the texts and names what is wrong.
std::string make_image(const std::string& concepts, const std::vector<std::string>& folders) {
  using bounced::RuleSet;
  auto files = bounced::classify::read_rule_files({});
  if (!files) return {};
  RuleSet::validate(*files);
  bool good = true;
  for (const bounced::classify::Problem& problem : files->problems) {
    std::fprintf(stderr, "%s\n", problem.text().c_str());
    good = good && problem.level != bounced::classify::Problem::Level::error;
  }
  if (!good) return {};
  const auto alone = RuleSet::build(*files, "");
  if (!alone) return {};
  std::vector<bounced::Labelled> lessons = bounced::samples_of(files->rules);
  const auto replies = bounced::read_lessons(*alone, folders);
  lessons.insert(lessons.end(), replies.begin(), replies.end());
  files->learned =
      bounced::classify::learn(bounced::lessons_of(lessons), bounced::read_concepts(concepts));
  const auto set = RuleSet::build(std::move(*files), "", bounced::classify::Target::any_cpu);
  if (!set) {
    std::fprintf(stderr, "%s\n", set.error().message().c_str());
    return {};
  }
  return (*set)->image();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s FILE CONCEPTS FOLDER...   (of labelled replies)\n", argv[0]);
    return 2;
  }
  const std::string image = make_image(argv[2], {argv + 3, argv + argc});
  if (image.empty()) std::fprintf(stderr, "warning: no image of the rules; starts are slower\n");
  std::ofstream out(argv[1], std::ios::binary);
  out << image;
  out.close();
  return out ? 0 : 3;
}
