// Logs of KumoMTA, PowerMTA and journald through the whole engine, in RAM.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/time.h"
#include "pipeline/engine.h"

namespace bounced::pipeline {
namespace {

/// What an applied event said, as text.
struct Told {
  EventKind kind;
  std::string recipient, message_id, cause;
  std::uint64_t message;
};

class SourcesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/bounced-sources-XXXXXX";
    dir_ = mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  Metrics replay(const std::string& log) {
    const std::string path = dir_ + "/log" + std::to_string(++files_);
    std::ofstream(path, std::ios::binary) << log;
    Options options;
    options.workers = 1;
    options.on_events = [&](const Batch& batch, std::span<Event* const> events) {
      for (const Event* event : events) {
        const Verdict* const verdict = batch.verdict(*event);
        told_.push_back({event->kind, std::string(batch.view(event->recipient)),
                         std::string(batch.view(event->message_id)),
                         verdict == nullptr ? "" : std::to_string(unsigned(verdict->cause)),
                         event->message});
      }
    };
    auto engine = Engine::open(std::move(options));
    EXPECT_TRUE(engine.has_value());
    ReplayConfig config;
    config.files = {path};
    auto running = (*engine)->replay(config);
    EXPECT_TRUE(running.has_value());
    EXPECT_TRUE(running->wait().has_value());
    EXPECT_TRUE((*engine)->stop().has_value());
    return (*engine)->metrics();
  }
  static std::string cause(Cause cause) { return std::to_string(static_cast<unsigned>(cause)); }

  std::string dir_;
  int files_ = 0;
  std::vector<Told> told_;
};

std::string kumo(const std::string& type, int n, std::int64_t second, const std::string& response) {
  return R"({"type":")" + type + R"(","id":"id)" + std::to_string(n) +
         R"(","sender":"b@news.esp.example","recipient":"user)" + std::to_string(n) +
         R"(@example.com","response":)" + response + R"(,"timestamp":)" +
         std::to_string(1763757926 + second) +
         R"(,"peer_address":{"name":"mx.example.com.","addr":"192.0.2.25"},)" +
         R"("headers":{"Message-ID":"<)" + std::to_string(n) + "@esp.example>\"}}\n";
}
constexpr const char* kGone =
    R"({"code":550,"enhanced_code":{"class":5,"subject":1,"detail":1},"content":"no such user","command":"RCPT TO:<x>"})";
constexpr const char* kFull =
    R"({"code":452,"enhanced_code":{"class":4,"subject":2,"detail":2},"content":"Mailbox full","command":"RCPT TO:<x>"})";
constexpr const char* kTooOld =
    R"({"code":551,"enhanced_code":{"class":5,"subject":4,"detail":7},"content":"Next delivery time would be at X which exceeds the expiry time of Y","command":null})";

TEST_F(SourcesTest, KumoMtaOverManyBlocks) {
  std::string log;
  for (int n = 0; n < 6000; ++n) log += kumo("Bounce", n, n, kGone);
  ASSERT_GT(log.size(), limits::kBlockBytes * 3 / 2);
  const Metrics metrics = replay(log);
  EXPECT_EQ(metrics.lines.unparsed, 0u);
  ASSERT_EQ(told_.size(), 6000u);
  EXPECT_EQ(told_[5999].recipient, "user5999@example.com");
  EXPECT_EQ(told_[5999].cause, cause(Cause::mailbox_unknown));
  EXPECT_EQ(metrics.states.blocked, 6000u);
}

TEST_F(SourcesTest, AnAttemptAndTheEndOfItsMessageAreOneFailure) {
  (void)replay(kumo("TransientFailure", 1, 0, kFull) + kumo("Expiration", 1, 432000, kTooOld));
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_EQ(told_[0].kind, EventKind::deferred);
  EXPECT_EQ(told_[1].kind, EventKind::expired);
  EXPECT_EQ(told_[0].message, told_[1].message);
  EXPECT_EQ(told_[1].cause, cause(Cause::mailbox_full)) << "the attempts tell more than the expiry";
}

TEST_F(SourcesTest, PowerMtaColumnsReachEveryBlock) {
  std::string log = "type,timeLogged,rcpt,header_Message-Id,dsnDiag,orig\r\n";
  for (int n = 0; n < 20000; ++n) {
    const std::string number = std::to_string(n);
    log += "b," + std::to_string(1763757926 + n) + ",user" + number + "@example.com,<" + number +
           "@esp.example>,\"smtp;550 5.1.1 no such user, sorry\",b@news.esp.example\r\n";
  }
  ASSERT_GT(log.size(), limits::kBlockBytes * 3 / 2);
  const Metrics metrics = replay(log);
  EXPECT_EQ(metrics.lines.unparsed, 0u);
  ASSERT_EQ(told_.size(), 20000u);
  EXPECT_EQ(told_.back().recipient, "user19999@example.com");
  EXPECT_EQ(told_.back().message_id, "<19999@esp.example>");
  EXPECT_EQ(told_.back().cause, cause(Cause::mailbox_unknown));
}

TEST_F(SourcesTest, JournalExportOverManyBlocks) {
  std::string log;
  for (int n = 0; n < 9000; ++n) {
    log += "__CURSOR=" + std::to_string(n) +
           "\n__REALTIME_TIMESTAMP=" + std::to_string(1763757926000000 + n) +
           "\n_HOSTNAME=mx1\nSYSLOG_IDENTIFIER=postfix/smtp\n_PID=7\nMESSAGE=4B0D3A80171: to=<u" +
           std::to_string(n) +
           "@example.com>, relay=mx.example.com[192.0.2.7]:25, delay=1, delays=0/0/0/1, dsn=5.1.1, "
           "status=bounced (host mx.example.com[192.0.2.7] said: 550 5.1.1 unknown (in reply to "
           "RCPT TO command))\n\n";
  }
  ASSERT_GT(log.size(), 2 * limits::kBlockBytes);
  (void)replay(log);
  ASSERT_EQ(told_.size(), 9000u);
  EXPECT_EQ(told_.back().recipient, "u8999@example.com");
}

TEST_F(SourcesTest, LossesAreAnAlarmForAnHour) {
  const Metrics metrics = replay(
      "2026-11-21T20:45:08+00:00 mx1 rsyslogd: imjournal: 12 messages lost due to "
      "rate-limiting\n2026-11-21T20:45:09+00:00 mx1 postfix/qmgr[3]: 4B0D3A80171: removed\n");
  EXPECT_EQ(metrics.lines.lost_messages, 12u);
  EXPECT_EQ(metrics.lines.loss_alarms, 1u);
  ASSERT_NE(metrics.loss_seen_us, 0);
  EXPECT_NE(loss_trouble(metrics, metrics.loss_seen_us + kHourUs / 2).find("12 messages"),
            std::string::npos);
  EXPECT_EQ(loss_trouble(metrics, metrics.loss_seen_us + 2 * kHourUs), "");
  EXPECT_EQ(loss_trouble(Metrics{}, metrics.loss_seen_us), "");
}

}  // namespace
}  // namespace bounced::pipeline
