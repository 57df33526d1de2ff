// Rules, codes, precedence and severity, on a small rule set.
#include "bounced/classifier.h"

#include <gtest/gtest.h>

#include "fixtures.h"

namespace bounced::classify {
namespace {

using testing::make_rules;

constexpr const char* kRules = R"(
[[rule]]
id = "t/unknown"
cause = "mailbox.unknown"
any = ["user unknown", "no such user"]
not = ["sender address rejected"]
[[rule]]
id = "t/full"
cause = "mailbox.full"
confidence = 0.9
all = ["mailbox", "full"]
[[rule]]
id = "t/virus-or-spam"
cause = "content.virus"
any = ["infected", "virus"]
all = ["message"]
[[rule]]
id = "t/code-541"
cause = "routing.error"
enhanced = ["5.4.1"]
[[rule]]
id = "ms/541"
cause = "mailbox.unknown"
confidence = 0.9
any = ["access denied"]
enhanced = ["5.4.1"]
provider = ["protection.outlook.com"]
[[rule]]
id = "t/denied"
cause = "policy.local"
any = ["recipient address rejected: access denied"]
[[rule]]
id = "ms/any"
cause = "sender.reputation"
any = ["denied"]
provider = ["outlook.com"]
[[rule]]
id = "t/regex"
cause = "rate.limited"
regex = ["too many [a-z]+ from"]
[[rule]]
id = "t/connect"
cause = "domain.down"
any = ["go away"]
phase = ["connect"]
[[rule]]
id = "t/hard-word"
cause = "mailbox.disabled"
any = ["closed for ever"]
severity = "permanent"
[[rule]]
id = "t/expired"
cause = "network.expired"
any = ["go away"]
kind = ["expired"]
smtp = ["4xx"]
)";

class Rules : public ::testing::Test {
 protected:
  void SetUp() override {
    rules_ = make_rules(kRules);
    ASSERT_NE(rules_, nullptr);
    classifier_ = std::make_unique<Classifier>(rules_);
  }
  Verdict verdict(const Failure& failure) { return classifier_->classify(failure); }
  Verdict verdict(std::string_view text) {
    Failure failure;
    failure.diagnostic = text;
    return verdict(failure);
  }
  std::string rule(const Verdict& v) { return std::string(rule_name(*rules_, v.rule)); }
  std::string cause(const Verdict& v) { return std::string(cause_id(*rules_, v.cause)); }

  std::shared_ptr<const RuleSet> rules_;
  std::unique_ptr<Classifier> classifier_;
};

TEST_F(Rules, AnyAllNot) {
  EXPECT_EQ(rule(verdict("550 5.1.1 <a@b.example>: User unknown")), "t/unknown");
  EXPECT_EQ(rule(verdict("550 5.1.8 Sender address rejected: user unknown")), "code/5.1.8");
  EXPECT_EQ(rule(verdict("552 the MAILBOX of x is full")), "t/full");
  EXPECT_EQ(rule(verdict("552 the box is full")), "code/552");
  EXPECT_EQ(rule(verdict("550 your message has a virus")), "t/virus-or-spam");
  EXPECT_EQ(rule(verdict("550 a virus")), "code/5xx");
  EXPECT_EQ(rule(verdict("550 a message")), "code/5xx");
  EXPECT_EQ(rule(verdict("450 too many mails from you")), "t/regex");
}

TEST_F(Rules, ProviderIsTheLongestSuffixOfTheHostElseOfTheDomain) {
  Failure f;
  f.diagnostic = "550 5.4.1 Recipient address rejected: Access denied";
  EXPECT_EQ(rule(verdict(f)), "t/denied");
  f.mta_host = "x.mail.protection.outlook.com";
  EXPECT_EQ(rule(verdict(f)), "ms/541");
  f.mta_host = "X.Mail.Protection.Outlook.COM.";
  EXPECT_EQ(rule(verdict(f)), "ms/541");
  f.mta_host = "notprotection.outlook.com";
  EXPECT_EQ(rule(verdict(f)), "ms/any");
  f.mta_host = "mx.shop.example";
  f.recipient_domain = "outlook.com";
  EXPECT_EQ(rule(verdict(f)), "ms/any");
  f.recipient_domain = "myoutlook.com";
  EXPECT_EQ(rule(verdict(f)), "t/denied");
}

TEST_F(Rules, TextBeatsCodeAndPhaseAndKindCount) {
  EXPECT_EQ(rule(verdict("550 5.4.1 whatever")), "t/code-541");
  EXPECT_EQ(rule(verdict("550 5.4.1 user unknown")), "t/unknown");
  Failure f;
  f.diagnostic = "450 go away";
  EXPECT_EQ(rule(verdict(f)), "code/4xx");
  f.phase = Phase::connect;
  EXPECT_EQ(rule(verdict(f)), "t/connect");
  f.kind = EventKind::expired;  // two predicates beat one
  EXPECT_EQ(rule(verdict(f)), "t/expired");
}

TEST_F(Rules, OperatorsComeFirstThenLengthThenOrder) {
  const auto rules = make_rules({{"a.toml", R"(
[[rule]]
id = "a/long"
cause = "policy.local"
any = ["mail refused by policy"]
[[rule]]
id = "a/first"
cause = "spam.content"
any = ["refused"]
[[rule]]
id = "a/second"
cause = "spam.content"
any = ["refused"]
)",
                                  0},
                                 {"op.toml", R"(
[[cause]]
id = "shop.closed"
class = "soft"
fault = "receiver"
category = "Others"
meaning = "The shop is closed."
advice = "Wait."
[[rule]]
id = "op/x"
cause = "shop.closed"
any = ["by policy x"]
)",
                                  1}});
  ASSERT_NE(rules, nullptr);
  Classifier classifier(rules);
  const auto name = [&](std::string_view text) {
    Failure f;
    f.diagnostic = text;
    return std::string(rule_name(*rules, classifier.classify(f).rule));
  };
  EXPECT_EQ(name("550 refused"), "a/first");
  EXPECT_EQ(name("550 mail refused by policy"), "a/long");
  EXPECT_EQ(name("550 mail refused by policy x"), "op/x");
  const Cause custom = find_cause(*rules, "shop.closed");
  EXPECT_EQ(static_cast<std::uint16_t>(custom), kFirstCustomCause);
  EXPECT_EQ(cause_id(*rules, custom), "shop.closed");
  EXPECT_EQ(find_cause(*rules, "no.such"), Cause::none);
}

TEST_F(Rules, SeverityAndCategory) {
  const Verdict hard = verdict("550 5.1.1 user unknown");
  EXPECT_EQ(hard.said, Severity::permanent);
  EXPECT_EQ(hard.severity, Severity::permanent);
  EXPECT_EQ(hard.category, Category::bad_mailbox);
  EXPECT_TRUE(hard.hard());
  EXPECT_EQ(hard.confidence, 95);
  // Said temporarily: not hard, and never a category of the permanent column.
  const Verdict soft = verdict("450 4.1.1 user unknown");
  EXPECT_EQ(soft.cause, Cause::mailbox_unknown);
  EXPECT_EQ(soft.severity, Severity::temporary);
  EXPECT_EQ(soft.bounce_class, BounceClass::soft);
  EXPECT_EQ(soft.category, Category::others);
  // Temporary by nature.
  const Verdict full = verdict("552 5.2.2 mailbox full");
  EXPECT_EQ(full.said, Severity::permanent);
  EXPECT_EQ(full.severity, Severity::temporary);
  EXPECT_EQ(full.category, Category::mailbox_full);
  EXPECT_EQ(full.confidence, 90);
  // A rule's override, but a 4xx keeps the temporary column.
  const Verdict forced = verdict("450 closed for ever");
  EXPECT_EQ(forced.said, Severity::temporary);
  EXPECT_EQ(forced.severity, Severity::permanent);
  EXPECT_EQ(forced.category, Category::others);
}

TEST_F(Rules, SaidFallsBackToTheKind) {
  Failure f;
  f.diagnostic = "user unknown";
  f.kind = EventKind::deferred;
  EXPECT_EQ(verdict(f).said, Severity::temporary);
  f.kind = EventKind::bounced;
  EXPECT_EQ(verdict(f).said, Severity::permanent);
  f.kind = EventKind::expired;
  EXPECT_EQ(verdict(f).said, Severity::temporary);
  f.enhanced = {1, 1, 5};
  EXPECT_EQ(verdict(f).said, Severity::permanent);
  f.smtp_code = 450;
  EXPECT_EQ(verdict(f).said, Severity::temporary);
}

TEST_F(Rules, NestedReplyOuterCodeRules) {
  const Verdict v = verdict(
      "450 4.1.1 unverified address: host m.example[192.0.2.1] said: 550 5.1.1 user unknown");
  EXPECT_EQ(v.said, Severity::temporary);
  EXPECT_EQ(v.severity, Severity::temporary);
  EXPECT_FALSE(v.hard());
  // Without an outer code the quoted one is all there is.
  EXPECT_EQ(verdict("gave up; last answer said: 550 5.1.1 odd words").cause,
            Cause::mailbox_unknown);
}

TEST_F(Rules, CodesAlone) {
  const auto check = [&](std::string_view text, Cause expected, int confidence) {
    const Verdict v = verdict(text);
    EXPECT_EQ(v.cause, expected) << text << ": " << cause(v);
    EXPECT_EQ(v.confidence, confidence) << text;
    EXPECT_NE(v.rule, kNoRule);
  };
  check("550 odd words", Cause::unknown_permanent, 50);
  check("450 odd words", Cause::unknown_temporary, 50);
  check("550 5.1.1 odd words", Cause::mailbox_unknown, 80);
  check("550 5.2.2 odd words", Cause::mailbox_full, 85);
  check("550 5.0.0 odd words", Cause::unknown_permanent, 50);
  check("550 5.7.1 odd words", Cause::policy_local, 40);
  check("550 5.7.999 odd words", Cause::policy_local, 40);
  check("550 5.7.26 odd words", Cause::auth_sender, 80);
  check("556 odd words", Cause::domain_unknown, 80);
  check("odd words", Cause::unknown_permanent, 30);
  check("", Cause::unknown_permanent, 30);
  EXPECT_EQ(rule(verdict("550 5.1.1 odd words")), "code/5.1.1");
  EXPECT_EQ(rule(verdict("450 4.1.1 odd words")), "code/4.1.1");
  // An MTA's dsn= beside an unknown text.
  Failure f;
  f.diagnostic = "odd words";
  f.enhanced = {1, 1, 5};
  EXPECT_EQ(verdict(f).cause, Cause::mailbox_unknown);
}

TEST_F(Rules, HintsOnlyWhenNothingElseDecides) {
  Failure f;
  f.diagnostic = "odd words";
  f.hint = ProviderHint::full;
  EXPECT_EQ(verdict(f).cause, Cause::mailbox_full);
  EXPECT_EQ(rule(verdict(f)), "hint/full");
  f.diagnostic = "550 5.1.1 odd words";
  EXPECT_EQ(verdict(f).cause, Cause::mailbox_unknown);
  f.diagnostic = "user unknown";
  EXPECT_EQ(rule(verdict(f)), "t/unknown");
}

TEST_F(Rules, VerdictOfACause) {
  const Verdict v = verdict_of(*rules_, Cause::mailbox_unknown, Severity::permanent, 70);
  EXPECT_TRUE(v.hard());
  EXPECT_EQ(v.confidence, 70);
  EXPECT_EQ(v.generation, generation(*rules_));
  EXPECT_EQ(causes(*rules_).size(), kBuiltinCauses - 1u);
  EXPECT_EQ(rule_name(*rules_, kNoRule), "");
  EXPECT_EQ(rule_name(*rules_, 1'000'000), "");
}

TEST_F(Rules, SpanIsInTheOriginalText) {
  const auto piece = [&](std::string_view text) {
    Failure f;
    f.diagnostic = text;
    const auto span = classifier_->span(f);
    return std::string(text.substr(span.begin, span.end - span.begin));
  };
  EXPECT_EQ(piece("550 5.1.1 <a@b.example>: User Unknown here"), "User Unknown");
  EXPECT_EQ(piece("550-5.1.1 No such 550 5.1.1 user here"), "No such 550 5.1.1 user");
  EXPECT_EQ(piece("450 Too many mails from you"), "Too many mails from");
  EXPECT_EQ(piece("550 odd words"), "");
}

TEST_F(Rules, ExplanationTellsAllMatches) {
  Failure f;
  f.diagnostic = "550 5.4.1 Recipient address rejected: Access denied";
  f.mta_host = "x.mail.protection.outlook.com";
  Explanation why;
  const Verdict v = classifier_->explain(f, why);
  EXPECT_TRUE(testing::same(v, classifier_->classify(f)));
  ASSERT_EQ(why.matches.size(), 4u);
  EXPECT_EQ(why.matches[0].rule, "ms/541");
  EXPECT_TRUE(why.matches[0].won);
  EXPECT_EQ(why.matches[1].rule, "ms/any");
  EXPECT_FALSE(why.matches[1].won);
  EXPECT_EQ(why.provider, "protection.outlook.com");
  EXPECT_EQ(why.smtp_code, 550);
  EXPECT_EQ(why.normalised, "recipient address rejected: access denied");
  EXPECT_NE(why.summary.find("mailbox.unknown"), std::string::npos);
}

TEST_F(Rules, StatsCount) {
  for (int i = 0; i < 3; ++i) verdict("550 5.1.1 <a@b.example>: User unknown");
  verdict("550 5.1.1 <c@d.example>: User unknown");
  verdict("550 odd words");
  EXPECT_EQ(classifier_->stats().calls, 5u);
  EXPECT_EQ(classifier_->stats().memo_hits, 3u);
  EXPECT_EQ(classifier_->stats().scans, 2u);
  EXPECT_EQ(classifier_->stats().by_code, 1u);
  EXPECT_EQ(classifier_->stats().unknown, 1u);
}

TEST_F(Rules, SendingIps) {
  const auto rules = make_rules(R"(
[[rule]]
id = "t/ours"
cause = "sender.ip_listed"
any = ["{our_ip} is listed"]
)");
  ASSERT_NE(rules, nullptr);
  Classifier classifier(rules, {true, {"192.0.2.7"}});
  Failure f;
  f.diagnostic = "550 192.0.2.7 is listed";
  EXPECT_EQ(classifier.classify(f).cause, Cause::sender_ip_listed);
  f.diagnostic = "550 192.0.2.8 is listed";
  EXPECT_EQ(classifier.classify(f).cause, Cause::unknown_permanent);
}

TEST_F(Rules, GenerationFollowsContent) {
  const auto again = make_rules(kRules);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(generation(*again), generation(*rules_));
  const auto other = make_rules(
      std::string(kRules) + "[[rule]]\nid = \"t/new\"\ncause = \"system.error\"\nany = \"oops\"\n");
  ASSERT_NE(other, nullptr);
  EXPECT_NE(generation(*other), generation(*rules_));
}

// `any` and `with`: one of each, in any order.
TEST(Classifier, WithNeedsOneOfEachList) {
  const auto rules = make_rules(R"(
[[rule]]
id = "t/both"
cause = "mailbox.unknown"
any = ["isn't one of ours", "never heard of"]
with = ["user", "empfänger"]
not = ["sender"]
)");
  ASSERT_NE(rules, nullptr);
  Classifier classifier(rules);
  const auto cause = [&](std::string_view text) {
    Failure failure;
    failure.diagnostic = text;
    return classifier.classify(failure).cause;
  };
  EXPECT_EQ(cause("550 that user? never heard of"), Cause::mailbox_unknown);
  EXPECT_EQ(cause("550 never heard of that user"), Cause::mailbox_unknown);
  EXPECT_EQ(cause("550 Empf?nger: never heard of"), Cause::mailbox_unknown) << "masked";
  EXPECT_EQ(cause("550 never heard of it"), Cause::unknown_permanent);
  EXPECT_EQ(cause("550 that user, no"), Cause::unknown_permanent);
  EXPECT_EQ(cause("550 never heard of that sender, user"), Cause::unknown_permanent);
}

}  // namespace
}  // namespace bounced::classify
