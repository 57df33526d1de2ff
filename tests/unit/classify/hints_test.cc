// What a provider's class alone makes of a failure, with the shipped rules: at full confidence only
// where it says "no such mailbox", and never against a server's own words.
#include <gtest/gtest.h>

#include "bounced/classifier.h"

namespace bounced {
namespace {

class ProviderHints : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto loaded = load_rules({});
    ASSERT_TRUE(loaded) << loaded.error().message();
    rules_ = *loaded;
  }
  Verdict verdict(const char* words, ProviderHint hint, EventKind kind = EventKind::bounced) {
    Failure failure;
    failure.diagnostic = words;
    failure.hint = hint;
    failure.kind = kind;
    return classifier_.classify(failure);
  }
  static std::shared_ptr<const RuleSet> rules_;
  Classifier classifier_{rules_};
};

std::shared_ptr<const RuleSet> ProviderHints::rules_;

TEST_F(ProviderHints, OnlyNoSuchMailboxStopsAtOnce) {
  for (const char* label :
       {"", "Permanent/NoEmail", "Invalid-Address", "user-unknown", "HardBounce", "BadEmailAddress",
        "10", "30", "hard_bounce", "invalid_email"}) {
    const Verdict v = verdict(label, ProviderHint::no_mailbox);
    EXPECT_EQ(v.cause, Cause::mailbox_unknown) << label;
    EXPECT_GE(v.confidence, 95) << label;
    EXPECT_TRUE(v.hard()) << label;
  }
  for (const char* label : {"", "Permanent/General", "bounce", "general", "err_new"}) {
    const Verdict v = verdict(label, ProviderHint::bad_mailbox);
    EXPECT_EQ(v.cause, Cause::mailbox_unknown) << label;
    EXPECT_LT(v.confidence, 95) << label;
    EXPECT_EQ(v.said, Severity::permanent) << label;
  }
}

TEST_F(ProviderHints, SoftClassesAreSoft) {
  struct Row {
    const char* label;
    ProviderHint hint;
    Cause cause;
  };
  for (const Row& row :
       {Row{"Transient/General", ProviderHint::transient, Cause::unknown_temporary},
        Row{"Undetermined/Undetermined", ProviderHint::soft, Cause::unknown_temporary},
        Row{"SoftBounce", ProviderHint::soft, Cause::unknown_temporary},
        Row{"Transient/MailboxFull", ProviderHint::full, Cause::mailbox_full},
        Row{"22", ProviderHint::full, Cause::mailbox_full},
        Row{"21", ProviderHint::dns, Cause::domain_incomplete}}) {
    const Verdict v = verdict(row.label, row.hint);
    EXPECT_EQ(v.cause, row.cause) << row.label;
    EXPECT_EQ(v.said, Severity::temporary) << row.label;
    EXPECT_EQ(v.bounce_class, BounceClass::soft) << row.label;
  }
}

TEST_F(ProviderHints, RefusalsOfTheSenderOrTheMailStopNobody) {
  for (const auto& [label, hint, cause] :
       {std::tuple{"Blocked", ProviderHint::blocked, Cause::policy_local},
        std::tuple{"52", ProviderHint::spam, Cause::spam_content},
        std::tuple{"53", ProviderHint::content, Cause::content_rejected},
        std::tuple{"23", ProviderHint::too_big, Cause::content_too_big},
        std::tuple{"24", ProviderHint::network, Cause::network_connection}}) {
    const Verdict v = verdict(label, hint);
    EXPECT_EQ(v.cause, cause) << label;
    EXPECT_FALSE(v.hard()) << label;
  }
}

TEST_F(ProviderHints, WordsAndCodesComeFirst) {
  const Verdict full = verdict("552 5.2.2 mailbox is full", ProviderHint::bad_mailbox);
  EXPECT_EQ(full.cause, Cause::mailbox_full);
  const Verdict unknown = verdict("550 5.1.1 no such user here", ProviderHint::soft);
  EXPECT_EQ(unknown.cause, Cause::mailbox_unknown);
  EXPECT_EQ(unknown.said, Severity::permanent);
}

TEST_F(ProviderHints, NamesAreWhole) {
  for (std::size_t i = 1; i < kProviderHints; ++i) {
    EXPECT_FALSE(to_string(static_cast<ProviderHint>(i)).empty()) << i;
  }
  EXPECT_TRUE(to_string(ProviderHint::none).empty());
}

}  // namespace
}  // namespace bounced
