#include "report/doctor.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace bounced::report {
namespace {

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

class Doctor : public testing::Test {
 protected:
  Doctor() {
    std::string pattern = testing::TempDir() + "bounced-doctor-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
  }
  ~Doctor() override { std::filesystem::remove_all(dir_); }

  std::string file(const std::string& name, const std::string& text) {
    std::ofstream(dir_ + "/" + name) << text;
    return dir_ + "/" + name;
  }
  Finding rotation_of(const std::string& stanza) {
    const std::string log = file("mail.log", "");
    const auto findings = look_at_rotation({"edge", {log}, "auto"}, {file("rotate", log + stanza)});
    return findings.size() == 1 ? findings.front() : Finding{};
  }
  std::string dir_;
};

constexpr const char* kLine =
    "2026-11-21T20:22:31.123456+00:00 mx postfix/qmgr[7]: 4jX00627vPz1c0pK: removed\n";

TEST_F(Doctor, KnowsAFileByItsLines) {
  const std::string log = file("mail.log", kLine);
  const auto findings = look_at_files({"edge", {log}, "auto"}, ingest::PositionBook());
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].health, Health::ok);
  EXPECT_TRUE(has(findings[0].why, "none applied yet; looks like postfix")) << findings[0].why;
}

TEST_F(Doctor, SaysWhatNobodyCanParse) {
  const std::string log = file("mail.log", "hello\nthis is no log\n");
  const auto findings = look_at_files({"edge", {log}, "auto"}, ingest::PositionBook());
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].health, Health::trouble);
}

TEST_F(Doctor, MissesFiles) {
  EXPECT_EQ(look_at_files({"a", {dir_ + "/no*.log"}, "auto"}, {}).at(0).health, Health::warning);
  EXPECT_EQ(look_at_files({"a", {dir_ + "/no.log"}, "auto"}, {}).at(0).health, Health::trouble);
}

TEST_F(Doctor, JudgesRotations) {
  EXPECT_EQ(rotation_of("\n{\n  daily\n  create 0640 syslog adm\n}\n").health, Health::ok);
  const Finding copied = rotation_of(" {\n  weekly\n  copytruncate\n}\n");
  EXPECT_EQ(copied.health, Health::warning);
  EXPECT_TRUE(has(copied.why, "rotate:1 uses copytruncate")) << copied.why;
  EXPECT_TRUE(has(rotation_of(" /var/log/other.log {\n rotate 0\n}\n").why, "deletes"))
      << rotation_of(" /var/log/other.log {\n rotate 0\n}\n").why;
  EXPECT_TRUE(has(rotation_of(" {\n olddir /var/old\n}\n").why, "/var/old"))
      << rotation_of(" {\n olddir /var/old\n}\n").why;
  EXPECT_EQ(rotation_of(" {\n postrotate\n  copytruncate\n endscript\n}\n").health, Health::ok)
      << "a script is no directive";
  EXPECT_EQ(rotation_of(".other {\n copytruncate\n}\n").what, "") << "another file's stanza";
}

TEST_F(Doctor, FollowsPatternsOfRotations) {
  const std::string log = file("mail.log", "");
  const auto findings =
      look_at_rotation({"edge", {log}, "auto"},
                       {file("rotate", "weekly\n\"" + dir_ + "/*.log\" {\n copytruncate\n}\n")});
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].health, Health::warning);
}

TEST_F(Doctor, ReadsRateLimits) {
  EXPECT_TRUE(look_at_journal({dir_ + "/none"}).empty());
  const auto limited = look_at_journal({file("a.conf", "[Journal]\n#RateLimitBurst=0\n")});
  EXPECT_EQ(limited.at(0).health, Health::warning);
  EXPECT_TRUE(has(limited.at(0).why, "10000 messages in 30s")) << limited.at(0).why;
  const auto free = look_at_journal({file("a.conf", "[Journal]\n RateLimitIntervalSec = 0\n")});
  EXPECT_EQ(free.at(0).health, Health::ok);
  EXPECT_EQ(look_at_rsyslog({file("r.conf", "module(load=\"imjournal\")\n")}).at(0).health,
            Health::warning);
  EXPECT_EQ(
      look_at_rsyslog({file("r.conf", "module(load=\"imjournal\" Ratelimit.Interval=\"0\")\n")})
          .at(0)
          .health,
      Health::ok);
}

}  // namespace
}  // namespace bounced::report
