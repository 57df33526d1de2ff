// Finder (Hyperscan, phrases, known words) and memo against a plain matcher over the shipped rules:
// the same literals and the same winner for any text.
// fuzz-libs: bounced_classify bounced_base
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "../unit/classify/reference.h"
#include "bounced/classifier.h"

namespace {

using namespace bounced;

const RuleSet& rules() {
  static const std::shared_ptr<const RuleSet> set = [] {
    auto loaded = load_rules({});
    if (!loaded) std::abort();
    return *loaded;
  }();
  return *set;
}

/// Plain bytes, and \xff with two bytes behind it for a literal of the rules: what random bytes
/// would not find in a lifetime.
std::string text_of(const std::uint8_t* data, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    if (data[i] != 0xff || i + 2 >= size) {
      text += static_cast<char>(data[i]);
      continue;
    }
    const std::size_t number = data[i + 1] * std::size_t{256} + data[i + 2];
    text += rules().pattern_texts[number % rules().literals];
    i += 2;
  }
  return text;
}

/// Twice: words never met are read another way than known ones.
void expect_all_literals(std::string_view text) {
  static classify::Finder finder(rules().databases, rules().phrases, rules().pattern_texts);
  const auto expected =
      classify::testing::literals_in(text, rules().pattern_texts, rules().literals);
  for (int round = 0; round < 2; ++round) {
    if (classify::testing::found_by(finder, text) == expected) continue;
    std::fprintf(stderr, "%.*s\nround %d finds other literals\n", static_cast<int>(text.size()),
                 text.data(), round);
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint16_t kCodes[] = {0, 550, 450, 421, 554, 552, 451, 250, 999};
  constexpr EventKind kKinds[] = {EventKind::bounced, EventKind::deferred, EventKind::expired};
  constexpr std::size_t kHead = 4;
  if (size < kHead || size > 512) return 0;
  // The set outlives both: they are made once, as a worker's are.
  const auto set = [] { return std::shared_ptr<const RuleSet>(&rules(), [](const RuleSet*) {}); };
  static Classifier classifier(set(), {true, {}, false});
  static Classifier plain(set(), {false, {}, false});
  static Classifier weighing(set()), plain_weighing(set(), {false, {}});
  static classify::testing::Reference reference(rules());
  const std::string text = text_of(data + kHead, size - kHead);
  expect_all_literals(text);
  const std::string host(rules().provider_suffixes[data[0] % rules().provider_suffixes.size()]);
  Failure failure;
  failure.diagnostic = text;
  failure.mta_host = host;
  failure.smtp_code = kCodes[data[1] % std::size(kCodes)];
  failure.kind = kKinds[data[2] % std::size(kKinds)];
  failure.phase = static_cast<Phase>(data[3] % 7);
  const Verdict first = classifier.classify(failure);
  const Verdict again = classifier.classify(failure);  // from the memo
  const Verdict known = plain.classify(failure);
  const RuleId expected = reference.winner(failure);
  // Words weigh alike, too, whoever remembers.
  (void)weighing.classify(failure);
  const Verdict weighed = weighing.classify(failure), plainly = plain_weighing.classify(failure);
  if (first.rule == expected && again.rule == expected && known.rule == expected &&
      again.cause == first.cause && weighed.rule == plainly.rule &&
      weighed.confidence == plainly.confidence) {
    return 0;
  }
  std::fprintf(stderr,
               "%s\n%s, again %s, without memo %s, expected %s; with words %s, without memo %s\n",
               text.c_str(), std::string(rule_name(rules(), first.rule)).c_str(),
               std::string(rule_name(rules(), again.rule)).c_str(),
               std::string(rule_name(rules(), known.rule)).c_str(),
               std::string(rule_name(rules(), expected)).c_str(),
               std::string(rule_name(rules(), weighed.rule)).c_str(),
               std::string(rule_name(rules(), plainly.rule)).c_str());
  std::abort();
}
