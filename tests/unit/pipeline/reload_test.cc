// Rules and policy exchanged while lines are applied; hits that outlive the exchange and the store.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "pipeline/engine.h"

namespace bounced::pipeline {
namespace {

namespace fs = std::filesystem;

std::string rule(const std::string& id, const std::string& cause, const std::string& words) {
  return "[[rule]]\nid = \"own/" + id + "\"\ncause = \"" + cause + "\"\nany = [\"" + words +
         "\"]\nsamples = [\"550 " + words + "\"]\n";
}

class ReloadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/bounced-reload-XXXXXX";
    dir_ = mkdtemp(name);
    fs::create_directory(dir_ + "/own");
  }
  void TearDown() override { fs::remove_all(dir_); }

  void write_rules(const std::string& text) { std::ofstream(dir_ + "/own/own.toml") << text; }
  std::unique_ptr<Engine> open() {
    Options options;
    options.data_dir = dir_ + "/data";
    options.rules.operator_dirs = {dir_ + "/own"};
    options.workers = 2;
    options.cut_interval_us = 5'000;
    auto engine = Engine::open(options);
    EXPECT_TRUE(engine) << engine.error().message();
    return engine ? std::move(*engine) : nullptr;
  }
  std::string log(int lines, const std::string& words) {
    const std::string path = dir_ + "/" + std::to_string(++logs_) + ".log";
    std::ofstream out(path);
    for (int i = 0; i < lines; ++i) {
      const std::string number = std::to_string(10'000 + i % 10'000).substr(1);
      out << "2026-11-01T20:00:00.000000+00:00 mx1 postfix/smtp[12]: 4jX" << number << "vPz1c"
          << logs_ << "pK: to=<u" << i << "@example.com>, relay=mx.example.com[192.0.2.7]:25, "
          << "delay=0.5, delays=0/0/0/0.5, dsn=5.0.0, status=bounced (host "
          << "mx.example.com[192.0.2.7] said: 550 " << words << " (in reply to RCPT TO command))\n";
    }
    return path;
  }
  static void replay(Engine& engine, const std::string& file) {
    ReplayConfig config;
    config.files = {file};
    auto running = engine.replay(config);
    ASSERT_TRUE(running);
    ASSERT_TRUE(running->wait());
  }
  static std::map<std::string, std::uint64_t> hits(const Engine& engine) {
    std::map<std::string, std::uint64_t> by_rule;
    for (const RuleHit& hit : engine.rule_hits()) by_rule[hit.rule] = hit.count;
    return by_rule;
  }

  std::string dir_;
  int logs_ = 0;
};

TEST_F(ReloadTest, NewRulesJudgeWhatComesNext) {
  write_rules(rule("a", "mailbox.full", "frobnicated mailbox"));
  auto engine = open();
  ASSERT_NE(engine, nullptr);
  const std::uint32_t before = generation(*engine->rules());
  replay(*engine, log(10, "frobnicated mailbox"));
  write_rules(rule("b", "mailbox.disabled", "frobnicated mailbox"));
  const auto done = engine->reload_rules();
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_TRUE(done->changed);
  EXPECT_NE(generation(*engine->rules()), before);
  replay(*engine, log(20, "the frobnicated mailbox"));
  EXPECT_EQ(hits(*engine), (std::map<std::string, std::uint64_t>{{"own/a", 10}, {"own/b", 20}}));
  ASSERT_TRUE(engine->flush());
  const auto at_cut = engine->rule_hits_at_cut(2);
  ASSERT_EQ(at_cut.size(), 2u);
  EXPECT_EQ(at_cut[0].rule, "own/a");
  EXPECT_EQ(at_cut[0].count, 10u);
  EXPECT_GT(at_cut[0].last_us, 0);
  const auto short_of_room = engine->rule_hits_at_cut(1);
  ASSERT_EQ(short_of_room.size(), 2u);
  EXPECT_EQ(short_of_room[1].rule, "other");
  EXPECT_EQ(short_of_room[1].count, 20u);
  EXPECT_EQ(short_of_room[1].last_us, at_cut[1].last_us);
  const auto again = engine->reload_rules();
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->changed);
  ASSERT_TRUE(engine->stop());
  engine.reset();
  engine = open();
  ASSERT_NE(engine, nullptr);
  EXPECT_EQ(hits(*engine), (std::map<std::string, std::uint64_t>{{"own/a", 10}, {"own/b", 20}}));
}

TEST_F(ReloadTest, BrokenFilesChangeNothing) {
  write_rules(rule("a", "mailbox.full", "frobnicated mailbox"));
  auto engine = open();
  ASSERT_NE(engine, nullptr);
  const auto rules = engine->rules();
  for (const std::string& broken :
       {std::string("[[rule\n"), rule("a", "no.such", "frobnicated mailbox"),
        rule("a", "mailbox.full", "frobnicated mailbox") + rule("a", "mailbox.full", "other words"),
        std::string("[[rule]]\nid = \"own/a\"\ncause = \"mailbox.full\"\nany = [\"frobnicated\"]\n"
                    "samples = [\"550 user unknown\"]\n")}) {
    write_rules(broken);
    const auto done = engine->reload_rules();
    ASSERT_FALSE(done) << broken;
    EXPECT_NE(done.error().where.find("own.toml:"), std::string::npos) << done.error().message();
    EXPECT_EQ(engine->rules(), rules);
  }
}

TEST_F(ReloadTest, NothingIsLostMeanwhile) {
  write_rules(rule("a", "mailbox.full", "frobnicated mailbox"));
  auto engine = open();
  ASSERT_NE(engine, nullptr);
  const std::string file = log(20'000, "frobnicated mailbox");
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done) {
      (void)engine->policy().of(Cause::mailbox_full);
      (void)generation(*engine->rules());
    }
  });
  std::thread reloader([&] {
    for (int i = 0; !done && i < 20; ++i) {
      write_rules(rule(i % 2 == 0 ? "b" : "a", "mailbox.full", "frobnicated mailbox"));
      ASSERT_TRUE(engine->reload_rules());
    }
  });
  replay(*engine, file);
  done = true;
  reader.join();
  reloader.join();
  const auto counted = hits(*engine);
  std::uint64_t sum = 0;
  for (const auto& [id, count] : counted) sum += count;
  EXPECT_EQ(sum, 20'000u);
}

}  // namespace
}  // namespace bounced::pipeline
