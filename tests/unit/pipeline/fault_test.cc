// The engine on disks that fail, against an oracle in memory: whatever operation meets whatever
// fault, the program ends with the documented status or goes on, and in the end every line has been
// counted once.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "base/time.h"
#include "faults/fault_files.h"
#include "pipeline/engine.h"
#include "report/digest.h"

namespace bounced::pipeline {
namespace {

namespace fs = std::filesystem;
using test::Fault;
using test::FaultFiles;

/// What was written, as the writer remembers it: no line of the program under test had a part in it.
struct Oracle {
  std::uint64_t delivered = 0, deferred = 0, bounced = 0;
  std::map<std::string, std::uint64_t> bounced_at;  ///< domain -> failures
  std::set<std::string> failed;                     ///< recipients with a final failure
};

/// One message of host `host` after `second` seconds: its three lines, told to the oracle.
std::string message(std::mt19937& random, const std::string& host, int number, std::int64_t second,
                    Oracle& oracle) {
  const std::int64_t at = *parse_time("2026-11-20T00:00:00Z") + second * kSecondUs + number % 1000;
  const std::string head = format_time(at) + " " + host + " postfix/";
  const std::string id = "4jX" + std::to_string(100000 + number) + host;
  const std::string domain = "example" + std::to_string(random() % 7) + ".com";
  const std::string to = host + "u" + std::to_string(random() % 400) + "@" + domain;
  const unsigned kind = random() % 3;
  static const char* const kEnds[] = {
      "2.0.0, status=sent (250 2.0.0 ok)",
      "4.2.2, status=deferred (host mx.example.com[192.0.2.7] said: 452 4.2.2 Mailbox full (in "
      "reply to RCPT TO command))",
      "5.1.1, status=bounced (host mx.example.com[192.0.2.7] said: 550 5.1.1 User unknown (in "
      "reply to RCPT TO command))"};
  (kind == 0 ? oracle.delivered : kind == 1 ? oracle.deferred : oracle.bounced) += 1;
  if (kind == 2) {
    ++oracle.bounced_at[domain];
    oracle.failed.insert(to);
  }
  std::string text =
      head + "qmgr[1]: " + id + ": from=<news@esp.example>, size=100, nrcpt=1 (queue active)\n";
  text += head + "smtp[2]: " + id + ": to=<" + to +
          ">, relay=mx.example.com[192.0.2.7]:25, delay=1, delays=0/0/0/1, dsn=" + kEnds[kind] +
          "\n";
  if (kind != 1) text += head + "qmgr[1]: " + id + ": removed\n";
  return text;
}

class FaultTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/bounced-fault-XXXXXX";
    dir_ = mkdtemp(name);
    level_ = spdlog::get_level();
    spdlog::set_level(spdlog::level::off);  // each fault is told
  }
  void TearDown() override {
    fs::remove_all(dir_);
    spdlog::set_level(level_);
  }
  [[nodiscard]] std::string path(const std::string& name) const { return dir_ + "/" + name; }
  void append(const std::string& name, std::string_view text) const {
    std::ofstream(path(name), std::ios::binary | std::ios::app) << text;
  }
  [[nodiscard]] Options options(const std::string& data) const {
    Options o;
    o.data_dir = path(data);
    o.workers = 1;
    o.cut_interval_us = 3'000;
    return o;
  }
  Result<void> replay_into(Engine& engine, const std::vector<std::string>& names) const {
    ReplayConfig config;
    for (const std::string& name : names) config.files.push_back(path(name));
    auto running = engine.replay(config);
    if (!running) return tl::unexpected(running.error());
    return running->wait();
  }
  void replay(const std::string& data, const std::vector<std::string>& names) const {
    auto engine = Engine::open(options(data));
    ASSERT_TRUE(engine) << engine.error().message();
    auto done = replay_into(**engine, names);
    ASSERT_TRUE(done) << done.error().message();
    ASSERT_TRUE((*engine)->stop());
  }
  /// Puts an image of the store where the store was.
  void restore(const std::string& data, const std::string& image) const {
    fs::remove_all(path(data));
    fs::rename(path(image), path(data));
  }
  [[nodiscard]] std::string digest(const std::string& data) const;
  void expect_as_written(const std::string& data, const Oracle& oracle) const;
  bool tail_until_fault(std::mt19937& random, const std::string& data, Fault fault,
                        const std::string& text, std::size_t& written) const;
  void tail_to_end(const std::string& data, const std::string& text, std::size_t written) const;

  std::string dir_;
  spdlog::level::level_enum level_{};
};

std::string FaultTest::digest(const std::string& data) const {
  store::OpenOptions open_options;
  open_options.read_only = true;
  auto store = store::Store::open(path(data), open_options);
  EXPECT_TRUE(store) << store.error().message();
  store::Names names;
  EXPECT_TRUE(names.load(**store));
  auto d = report::digest(**store, names);
  EXPECT_TRUE(d) << d.error().message();
  std::string text;
  for (const auto& part : d->parts) {
    text += fmt::format("{} {} {:016x}{:016x}\n", part.name, part.records, part.hi, part.lo);
  }
  return text;
}

/// Every counter of the store is the oracle's, and so are the addresses that it knows.
void FaultTest::expect_as_written(const std::string& data, const Oracle& oracle) const {
  {
    store::OpenOptions open_options;
    open_options.read_only = true;
    auto store = store::Store::open(path(data), open_options);
    ASSERT_TRUE(store) << store.error().message();
    store::Names names;
    ASSERT_TRUE(names.load(**store));
    rates::Cell total;
    ASSERT_TRUE(rates::read(**store, rates::Dimension::total, 0, UINT32_MAX,
                            [&](const rates::Row& row) { total.add(row.cell); }));
    EXPECT_EQ(total.delivered, oracle.delivered);
    EXPECT_EQ(total.deferred, oracle.deferred);
    EXPECT_EQ(total.hard, oracle.bounced);
    EXPECT_EQ(total.sent(), oracle.delivered + oracle.bounced);
    std::map<std::string, std::uint64_t> bounced_at;
    ASSERT_TRUE(rates::read(**store, rates::Dimension::domain, 0, UINT32_MAX,
                            [&](const rates::Row& row) {
                              if (row.cell.hard == 0) return;
                              const auto name =
                                  names.text(store::Dictionary::domain, row.key);
                              bounced_at[std::string(name)] += row.cell.hard;
                            }));
    EXPECT_EQ(bounced_at, oracle.bounced_at);
  }
  auto engine = Engine::open(options(data));
  ASSERT_TRUE(engine) << engine.error().message();
  ASSERT_TRUE((*engine)->flush());
  for (int i = 0; i < 500 && !(*engine)->metrics().states.complete; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ((*engine)->metrics().states.addresses, oracle.failed.size());
  std::size_t missing = 0;
  for (const std::string& address : oracle.failed) {
    const auto id = (*engine)->hasher().id(address);
    missing += id && (*engine)->view().find(*id) ? 0 : 1;
  }
  EXPECT_EQ(missing, 0u) << "of " << oracle.failed.size();
}

}  // namespace
}  // namespace bounced::pipeline
