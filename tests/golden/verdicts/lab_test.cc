// What real servers' replies were made to mean: attempts and DSNs with ground truth, and replies
// labelled by others (../shared/data; skipped where that is not there).
#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bounced/classifier.h"
#include "bounced/policy.h"
#include "state/decide.h"
#include "state/state.h"

namespace bounced {
namespace {

constexpr std::int64_t kDayUs = 86'400'000'000;

/// What the lab says of a reply. x.2.1 (disabled) is hard to some and not to others: scored apart.
enum class Label : std::uint8_t { hard, not_hard, disabled };

struct Failed {
  std::string text, enhanced, host;
  std::uint16_t code = 0;
  EventKind kind = EventKind::bounced;
  Label label = Label::not_hard;
  std::string category;  ///< the lab's: "bad_mailbox", "policy_related", ...
};

std::string data(const std::string& name) {
  return BOUNCED_SOURCE_DIR "/../shared/data/" + name;
}
bool have(const std::string& name) {
  std::error_code error;
  return std::filesystem::exists(data(name), error);
}

std::string text_of(const simdjson::dom::element& object, const char* key) {
  std::string_view text;
  return object[key].get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}
std::int64_t number_of(const simdjson::dom::element& object, const char* key) {
  std::int64_t number = 0;
  return object[key].get(number) == simdjson::SUCCESS ? number : 0;
}

template <class Each>
void each_line(const std::string& name, Each each) {
  std::ifstream in(data(name));
  simdjson::dom::parser parser;
  for (std::string line; std::getline(in, line);) {
    simdjson::dom::element object;
    ASSERT_EQ(parser.parse(line).get(object), simdjson::SUCCESS) << name << ": " << line;
    each(object);
  }
}

EnhancedCode enhanced_of(const std::string& text) {
  unsigned klass = 0;
  unsigned subject = 0;
  unsigned detail = 0;
  if (std::sscanf(text.c_str(), "%1u.%3u.%3u", &klass, &subject, &detail) != 3) return {};
  EnhancedCode code;
  code.klass = static_cast<std::uint8_t>(klass);
  code.subject = static_cast<std::uint16_t>(subject);
  code.detail = static_cast<std::uint16_t>(detail);
  return code;
}

Failure failure_of(const Failed& failed) {
  Failure failure;
  failure.diagnostic = failed.text;
  failure.smtp_code = failed.code;
  failure.enhanced = enhanced_of(failed.enhanced);
  failure.mta_host = failed.host;
  failure.kind = failed.kind;
  return failure;
}

/// Every refusal that the lab's sink gave and labelled.
std::vector<Failed> attempts(const std::string& mta) {
  std::vector<Failed> out;
  each_line("mta/truth-" + mta + "-attempts.jsonl", [&](const simdjson::dom::element& o) {
    const std::string outcome = text_of(o, "outcome");
    Failed f;
    f.category = text_of(o, "cat");
    if ((outcome != "temp" && outcome != "perm") || f.category.empty()) return;
    f.text = text_of(o, "text");
    f.enhanced = text_of(o, "enh");
    f.host = text_of(o, "host");
    f.code = static_cast<std::uint16_t>(number_of(o, "code"));
    f.kind = f.code >= 500 ? EventKind::bounced : EventKind::deferred;
    const bool dead = f.category == "bad_mailbox" || f.category == "domain_failure";
    if (dead && f.code >= 500 && text_of(o, "cls") == "H") f.label = Label::hard;
    if (f.enhanced.size() == 5 && f.enhanced.substr(1) == ".2.1") f.label = Label::disabled;
    out.push_back(std::move(f));
  });
  return out;
}

/// The number of the reply that a recipient of the lab asks for: "jane.m12r34@..." -> 34.
int reply_of(const std::string& recipient) {
  const auto at = recipient.find('@');
  const auto r = recipient.rfind('r', at);
  if (at == std::string::npos || r == std::string::npos) return 0;
  return std::atoi(recipient.c_str() + r + 1);
}

/// A recipient's reply -> its label; what was answered in several ways counts as not hard.
std::map<int, Label> labels(const std::string& mta) {
  std::map<int, Label> out;
  each_line("mta/truth-" + mta + "-attempts.jsonl", [&](const simdjson::dom::element& o) {
    const auto reply = static_cast<int>(number_of(o, "scen"));
    const std::string category = text_of(o, "cat");
    if (reply == 0 || category.empty()) return;
    const std::string enhanced = text_of(o, "enh");
    const bool dead = category == "bad_mailbox" || category == "domain_failure";
    Label label = dead && number_of(o, "code") >= 500 && text_of(o, "cls") == "H" ? Label::hard
                                                                                  : Label::not_hard;
    if (enhanced.size() == 5 && enhanced.substr(1) == ".2.1") label = Label::disabled;
    const auto [at, added] = out.emplace(reply, label);
    if (!added && at->second != label && at->second != Label::disabled) {
      at->second = label == Label::disabled ? label : Label::not_hard;
    }
  });
  return out;
}

std::string unfolded(std::string text) {
  for (auto at = text.find('\n'); at != std::string::npos; at = text.find('\n', at)) {
    const auto end = text.find_first_not_of(" \t\r\n", at);
    text.replace(at, (end == std::string::npos ? text.size() : end) - at, " ");
  }
  return text;
}

/// Every recipient that a returned DSN says failed.
std::vector<Failed> dsns(const std::string& mta) {
  const std::map<int, Label> known = labels(mta);
  std::vector<Failed> out;
  each_line("mta/truth-" + mta + "-dsn.jsonl", [&](const simdjson::dom::element& o) {
    const auto label = known.find(reply_of(text_of(o, "final_recipient")));
    if (text_of(o, "action") != "failed" || label == known.end()) return;
    Failed f;
    f.text = unfolded(text_of(o, "diagnostic"));
    f.enhanced = text_of(o, "status");
    f.label = label->second;
    out.push_back(std::move(f));
  });
  return out;
}

/// The lab has no category of its own for what is too fast or comes too early.
bool is_rate(const Failed& f) {
  if (f.category != "others") return false;
  for (const char* word : {"rate", "too many", "quickly", "reylist", "throttle"}) {
    if (f.text.find(word) != std::string::npos) return true;
  }
  return false;
}

/// "Temporary Network Error" -> "network_error", as the labels write it.
std::string label_of(Category category) {
  std::string name(to_string(category));
  for (char& c : name)
    c = c == ' ' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  constexpr std::string_view kTemporary = "temporary_";
  if (name.rfind(kTemporary, 0) == 0) name.erase(0, kTemporary.size());
  return name;
}

class Lab : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto loaded = load_rules({});
    ASSERT_TRUE(loaded) << loaded.error().message();
    rules_ = *loaded;
  }
  static void TearDownTestSuite() { rules_.reset(); }
  void SetUp() override {
    if (!have("mta/truth-postfix-attempts.jsonl") || !have("replies/labelled.jsonl")) {
      GTEST_SKIP() << "no ../shared/data beside the source";
    }
  }
  static std::shared_ptr<const RuleSet> rules_;
};
std::shared_ptr<const RuleSet> Lab::rules_;

TEST_F(Lab, FalseAndMissedHardAreRare) {
  Classifier classifier(rules_);
  std::size_t hard = 0;
  std::size_t others = 0;
  std::size_t missed = 0;
  std::size_t wrongly = 0;
  std::set<std::string> shown;
  for (const char* mta : {"postfix", "exim"}) {
    std::vector<Failed> all = attempts(mta);
    for (Failed& f : dsns(mta)) all.push_back(std::move(f));
    for (const Failed& f : all) {
      if (f.label == Label::disabled) continue;
      const Verdict verdict = classifier.classify(failure_of(f));
      const bool is_hard = f.label == Label::hard;
      ++(is_hard ? hard : others);
      if (verdict.hard() == is_hard) continue;
      ++(is_hard ? missed : wrongly);
      const std::string rule(rule_name(*rules_, verdict.rule));
      if (shown.insert(rule + f.category).second) {
        std::printf("%s: %s by %s\n", is_hard ? "missed" : "not hard", f.text.c_str(),
                    rule.c_str());
      }
    }
  }
  RecordProperty("missed", std::to_string(missed) + " of " + std::to_string(hard));
  RecordProperty("false", std::to_string(wrongly) + " of " + std::to_string(others));
  ASSERT_GT(hard, 500u);
  ASSERT_GT(others, 5'000u);
  EXPECT_LE(wrongly * 1000, others * 5) << wrongly << " of " << others;
  EXPECT_LE(missed * 100, hard * 2) << missed << " of " << hard;
}

TEST_F(Lab, OthersLabelsAreAccepted) {
  Classifier classifier(rules_);
  std::size_t all = 0;
  std::size_t right = 0;
  each_line("replies/labelled.jsonl", [&](const simdjson::dom::element& o) {
    Failed f;
    f.text = text_of(o, "diagnostic");
    f.enhanced = text_of(o, "enhanced");
    f.host = text_of(o, "remote_mta");
    f.code = static_cast<std::uint16_t>(std::atoi(text_of(o, "smtp_code").c_str()));
    const Verdict verdict = classifier.classify(failure_of(f));
    const std::string category = label_of(verdict.category);
    bool accepted = false;
    bool may_be_hard = false;
    simdjson::dom::array accept;
    ASSERT_EQ(o["accept"].get(accept), simdjson::SUCCESS);
    for (const simdjson::dom::element label : accept) {
      std::string_view words;
      ASSERT_EQ(label.get(words), simdjson::SUCCESS);
      accepted = accepted || words.substr(words.find('/') + 1) == category;
      may_be_hard = may_be_hard || words.rfind("permanent/bad_", 0) == 0;
    }
    ++all;
    right += accepted ? 1 : 0;
    EXPECT_FALSE(verdict.hard() && !may_be_hard) << f.text;
  });
  ASSERT_GT(all, 90u);
  EXPECT_GE(right * 100, all * 95) << right << " of " << all;
}

// What is not the recipient's fault blocks nobody, however often it is said.
TEST_F(Lab, OurOwnFaultBlocksNobody) {
  const std::set<std::string> ours = {"policy_related", "potential_spam", "relay_prohibited",
                                      "authentication_failure", "content_related"};
  auto policy = state::load_policy();
  ASSERT_TRUE(policy);
  Classifier classifier(rules_);
  std::size_t replies = 0;
  for (const char* mta : {"postfix", "exim"}) {
    for (const Failed& f : attempts(mta)) {
      if (ours.count(f.category) == 0 && !is_rate(f)) continue;
      ++replies;
      const Verdict verdict = classifier.classify(failure_of(f));
      state::AddressState address;
      for (int round = 0; round < 5; ++round) {
        state::Fact fact;
        fact.kind = EventKind::bounced;  // as if every one of them had been final
        fact.time_us = 1'780'000'000'000'000 + round * 7 * kDayUs;
        fact.message = static_cast<std::uint64_t>(round) + 1;
        fact.position = fact.message * 100;
        fact.source = 1;
        fact.domain_delivery_us = fact.time_us - kDayUs;
        const auto decision = state::decide(address, fact, verdict, *policy, PolicyLevel::address);
        ASSERT_TRUE(decision.changes.empty()) << f.text << ": " << cause_id(*rules_, verdict.cause)
                                              << " by " << rule_name(*rules_, verdict.rule);
      }
    }
  }
  EXPECT_GT(replies, 500u);
}

}  // namespace
}  // namespace bounced
