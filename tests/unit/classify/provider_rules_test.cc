// A rule with a provider outranks every text, so one too wide would turn a refusal of ours into a
// dead address at that provider alone, where no sample looks: here every sample looks everywhere.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "bounced/classifier.h"
#include "classify/rule_set.h"

namespace bounced::classify {
namespace {

std::set<std::string> provider_hosts(const RuleSet& rules) {
  std::set<std::string> hosts;
  for (const Rule& rule : rules.rules()) {
    for (const std::string& suffix : rule.providers) hosts.insert("mx." + suffix);
  }
  return hosts;
}

Failure failure_of(const Sample& sample, const std::string& host) {
  Failure failure;
  failure.diagnostic = sample.text;
  failure.smtp_code = sample.smtp_code;
  failure.enhanced = sample.enhanced;
  failure.phase = sample.phase;
  if (sample.kind != EventKind::none) failure.kind = sample.kind;
  failure.mta_host = host;
  return failure;
}

TEST(ProviderRules, NoProviderMakesHardWhatIsNotHardElsewhere) {
  const auto loaded = load_rules({});
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message();
  const RuleSet& rules = **loaded;
  const std::set<std::string> hosts = provider_hosts(rules);
  ASSERT_GE(hosts.size(), 20u);
  Classifier classifier(*loaded);
  std::size_t tried = 0;
  for (const Rule& rule : rules.rules()) {
    if (!rule.providers.empty()) continue;  // its samples mean what they say at that provider only
    for (const Sample& sample : rule.samples) {
      if (classifier.classify(failure_of(sample, sample.mta)).hard()) continue;
      for (const std::string& host : hosts) {
        const Verdict verdict = classifier.classify(failure_of(sample, host));
        EXPECT_FALSE(verdict.hard())
            << sample.text << "\nat " << host << " by " << rule_name(rules, verdict.rule)
            << ", a sample of " << rule.id;
        ++tried;
      }
    }
  }
  EXPECT_GT(tried, 10'000u);
}

}  // namespace
}  // namespace bounced::classify
