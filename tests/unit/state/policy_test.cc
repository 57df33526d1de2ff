#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <sstream>
#include <vector>

#include "facts.h"
#include "state/failure_blocks.h"

namespace bounced::state {
namespace {

std::string shipped() {
  std::ifstream in(BOUNCED_SOURCE_DIR "/rules/policy.toml");
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

Result<Policy> load_text(const std::string& text, std::span<const CauseInfo> causes = {}) {
  // A file of this test's own: the tests of this program run side by side, each in a process.
  std::string pattern = ::testing::TempDir() + "bounced-policy-XXXXXX";
  const std::filesystem::path dir = ::mkdtemp(pattern.data());
  const std::filesystem::path file = dir / "policy_test.toml";
  std::ofstream(file) << text;
  auto policy = load_policy(file, causes);
  std::filesystem::remove_all(dir);
  return policy;
}

std::string with(std::string_view from, std::string_view to) {
  std::string text = shipped();
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Policy, ShippedTable) {
  const auto policy = load_policy();
  ASSERT_TRUE(policy) << policy.error().message();
  EXPECT_EQ(policy->preset, "default");
  const CausePolicy& unknown = policy->of(Cause::mailbox_unknown);
  EXPECT_EQ(unknown.level, PolicyLevel::address);
  EXPECT_EQ(unknown.block, BlockKind::dead);
  EXPECT_EQ(unknown.messages, 1u);
  EXPECT_EQ(unknown.confidence_min, 95);
  EXPECT_EQ(unknown.messages_unsure, 2u);
  EXPECT_EQ(unknown.span_unsure_us, kDayUs);
  const CausePolicy& full = policy->of(Cause::mailbox_full);
  EXPECT_EQ(full.messages, 5u);
  EXPECT_EQ(full.span_us, 14 * kDayUs);
  EXPECT_TRUE(policy->of(Cause::unknown_permanent).needs_domain_alive);
  EXPECT_TRUE(policy->of(Cause::domain_down).needs_domain_dead);
  EXPECT_EQ(policy->of(Cause::rate_limited).level, PolicyLevel::none);
  EXPECT_EQ(policy->dead.count, 3u);
  EXPECT_EQ(policy->dead.terms_us[1], 365 * kDayUs);
  EXPECT_EQ(policy->dead.terms_us[2], 0);
  EXPECT_EQ(policy->soft.dead_from, 3u);
  EXPECT_EQ(policy->domain_soft_us, 30 * kDayUs);
  EXPECT_EQ(policy->incident_us, 7 * kDayUs);
  EXPECT_DOUBLE_EQ(policy->complaint_act_percent, 0.3);
}

TEST(Policy, HowLongA250IsHeld) {
  EXPECT_EQ(load_policy()->late_quiet_us, 72 * kHourUs);
  const auto at_once = load_text(with("\"72h\"", "\"0s\""));
  ASSERT_TRUE(at_once) << at_once.error().message();
  EXPECT_EQ(at_once->late_quiet_us, 0);
  EXPECT_FALSE(load_text(with("\"72h\"", "\"90d\"")));
  EXPECT_FALSE(load_text(with("quiet =", "quite =")));
}

TEST(Policy, ErrorsNameFileLineAndNearestKey) {
  struct Case {
    const char* from;
    const char* to;
    const char* says;
    const char* hint;
  };
  const Case cases[] = {
      {"messages_unsure = 2", "mesages_unsure = 2", "unknown key 'mesages_unsure'",
       "messages_unsure"},
      {"\"mailbox.moved\"", "\"mailbox.mooved\"", "unknown cause 'mailbox.mooved'",
       "mailbox.moved"},
      {"\"mailbox.moved\"", "\"mailbox.unknown\"", "already named", ""},
      {"[\"mailbox.full\"]", "[]", "'mailbox.full' is in no", "[never]"},
      {"\"24h\"", "\"24 hours\"", "span_unsure: expected a duration", ""},
      {"\"24h\"", "24", "span_unsure: expected a duration", ""},
      {"messages        = 1", "messages        = 99", "messages: expected", ""},
      {"\"forever\"", "\"for good\"", "terms: expected a duration", "forever"},
      {"\"domain-alive\"", "\"domain\"", "needs: expected", ""},
      {"level           = \"address\"", "level = \"city\"", "level: expected", ""},
      {"block           = \"dead\"", "block = \"manual\"", "block: expected", ""},
      {"[warn]", "[warm]", "unknown key 'warm'", "warn"},
      {"preset = \"default\"", "preset = ", "", ""},
  };
  for (const Case& c : cases) {
    const auto policy = load_text(with(c.from, c.to));
    ASSERT_FALSE(policy) << c.to;
    EXPECT_EQ(policy.error().code, ErrorCode::data);
    const std::string line = policy.error().message();
    EXPECT_NE(line.find(c.says), std::string::npos) << line;
    EXPECT_NE(line.find(c.hint), std::string::npos) << line;
    EXPECT_NE(policy.error().where.find("policy_test.toml:"), std::string::npos) << line;
  }
  EXPECT_FALSE(load_policy("/nonexistent/policy.toml"));
}

CauseInfo own(std::uint16_t number, const char* id, BounceClass bounce_class, Fault fault,
              Category category = Category::others) {
  CauseInfo info;
  info.cause = static_cast<Cause>(kFirstCustomCause + number);
  info.id = id;
  info.bounce_class = bounce_class;
  info.fault = fault;
  info.category_temporary = info.category_permanent = category;
  return info;
}

bool counts_like(const Policy& policy, const CauseInfo& info, Cause model) {
  return same_row(policy.of(info.cause), policy.of(model));
}

TEST(Policy, CustomCauseTakesTheRowOfItsClassAndFault) {
  const std::vector<CauseInfo> causes = {
      own(0, "shop.gone", BounceClass::hard, Fault::recipient),
      own(1, "shop.away", BounceClass::soft, Fault::recipient),
      own(2, "shop.full", BounceClass::soft, Fault::recipient, Category::mailbox_full),
      own(3, "shop.nowhere", BounceClass::hard, Fault::domain),
      own(4, "shop.down", BounceClass::soft, Fault::domain),
      own(5, "shop.broken", BounceClass::soft, Fault::receiver),
      own(6, "shop.ours", BounceClass::soft, Fault::sender),
      own(7, "shop.refused", BounceClass::blocked, Fault::recipient),
      own(8, "shop.note", BounceClass::notice, Fault::recipient)};
  const Cause models[] = {Cause::mailbox_unknown,
                          Cause::mailbox_disabled,
                          Cause::mailbox_full,
                          Cause::domain_unknown,
                          Cause::domain_down,
                          Cause::system_error,
                          Cause::none,
                          Cause::none,
                          Cause::none};
  const auto policy = load_policy({}, causes);
  ASSERT_TRUE(policy) << policy.error().message();
  for (std::size_t i = 0; i < causes.size(); ++i) {
    EXPECT_TRUE(counts_like(*policy, causes[i], models[i])) << causes[i].id;
  }
  // Numbers that nobody declared never count.
  EXPECT_EQ(policy->of(static_cast<Cause>(kBuiltinCauses)).block, BlockKind::none);
  EXPECT_EQ(policy->of(static_cast<Cause>(kFirstCustomCause + 9)).block, BlockKind::none);
  EXPECT_EQ(policy->of(static_cast<Cause>(UINT16_MAX)).block, BlockKind::none);
}

TEST(Policy, CustomCauseMayHaveItsOwnRow) {
  const std::vector<CauseInfo> causes = {own(0, "shop.gone", BounceClass::hard, Fault::recipient),
                                         own(1, "shop.closed", BounceClass::soft, Fault::receiver)};
  const auto text = with("[never]  #",
                         "[[count]]\ncauses = [\"shop.closed\"]\nlevel = \"address\"\n"
                         "block = \"soft\"\nmessages = 4\nspan = \"3d\"\n\n[never]  #");
  const auto policy = load_text(text, causes);
  ASSERT_TRUE(policy) << policy.error().message();
  EXPECT_EQ(policy->of(causes[1].cause).messages, 4u);
  EXPECT_EQ(policy->of(causes[1].cause).block, BlockKind::soft);
  EXPECT_TRUE(counts_like(*policy, causes[0], Cause::mailbox_unknown));

  const auto never = load_text(
      with("causes = [\"auth.sender\"", "causes = [\"shop.gone\", \"auth.sender\""), causes);
  ASSERT_TRUE(never) << never.error().message();
  EXPECT_EQ(never->of(causes[0].cause).block, BlockKind::none);

  const auto mistyped =
      load_text(with("\"mailbox.moved\"", "\"mailbox.moved\", \"shop.gome\""), causes);
  ASSERT_FALSE(mistyped);
  EXPECT_NE(mistyped.error().message().find("shop.gone"), std::string::npos);
  EXPECT_FALSE(load_text(text)) << "a cause that no rule file declares";
}

TEST(Policy, ErrorNamesTheLine) {
  const auto policy = load_text(with("preset = \"default\"", "preset = \"x\"\npresett = 1"));
  ASSERT_FALSE(policy);
  const std::string text = shipped();
  const auto lines = std::count(
      text.begin(), text.begin() + static_cast<std::ptrdiff_t>(text.find("preset =")), '\n');
  EXPECT_NE(policy.error().where.find(":" + std::to_string(lines + 2)), std::string::npos)
      << policy.error().message();
}

}  // namespace
}  // namespace bounced::state
