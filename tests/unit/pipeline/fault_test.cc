// The engine on disks that fail, against an oracle in memory: whatever operation meets whatever
// fault, the program ends with the documented status or goes on, and in the end every line has been
// counted once.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "base/address.h"
#include "base/time.h"
#include "faults/fault_files.h"
#include "pipeline/engine.h"
#include "report/digest.h"

namespace bounced::pipeline {
namespace {

namespace fs = std::filesystem;
using test::Fault;
using test::FaultFiles;

const std::vector<std::string> kHosts = {"mx1.log", "mx2.log", "mx3.log"};

/// What was written, as the writer remembers it: no line of the program under test had a part in
/// it.
struct Oracle {
  std::uint64_t delivered = 0, deferred = 0, bounced = 0;
  std::map<std::string, std::uint64_t> bounced_at;  ///< domain -> failures
  std::set<std::string> known;                      ///< recipients of which not all went well
  std::set<std::string> domains;                    ///< of those
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
  if (kind == 2) ++oracle.bounced_at[domain];
  if (kind != 0) {
    oracle.known.insert(to);
    oracle.domains.insert(domain);
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
  [[nodiscard]] std::unique_ptr<store::Store> open_to_read(const std::string& data) const;
  [[nodiscard]] std::shared_ptr<FaultFiles> failing_disk(std::mt19937& random,
                                                         const std::string& data,
                                                         Fault fault) const;
  [[nodiscard]] bool replay_on(const std::string& data, std::shared_ptr<FaultFiles> files) const;
  bool tail_on(std::mt19937& random, const std::string& data, std::shared_ptr<FaultFiles> files,
               const std::string& text, std::size_t& written) const;

  std::string dir_;
  spdlog::level::level_enum level_{};
};

std::unique_ptr<store::Store> FaultTest::open_to_read(const std::string& data) const {
  store::OpenOptions open_options;
  open_options.read_only = true;
  auto store = store::Store::open(path(data), open_options);
  EXPECT_TRUE(store) << store.error().message();
  return store ? std::move(*store) : nullptr;
}

std::string FaultTest::digest(const std::string& data) const {
  const auto store = open_to_read(data);
  store::Names names;
  EXPECT_TRUE(names.load(*store));
  auto d = report::digest(*store, names);
  EXPECT_TRUE(d) << d.error().message();
  std::string text;
  for (const auto& part : d->parts) {
    text += fmt::format("{} {} {:016x}{:016x}\n", part.name, part.records, part.hi, part.lo);
  }
  return text;
}

/// Every counter of the store is the oracle's, and so are the addresses that it knows.
void FaultTest::expect_as_written(const std::string& data, const Oracle& oracle) const {
  const auto store = open_to_read(data);
  ASSERT_TRUE(store);
  store::Names names;
  ASSERT_TRUE(names.load(*store));
  rates::Cell total;
  ASSERT_TRUE(rates::read(*store, rates::Dimension::total, 0, UINT32_MAX,
                          [&](const rates::Row& row) { total.add(row.cell); }));
  EXPECT_EQ(total.delivered, oracle.delivered);
  EXPECT_EQ(total.deferred, oracle.deferred);
  EXPECT_EQ(total.hard, oracle.bounced);
  EXPECT_EQ(total.sent(), oracle.delivered + oracle.bounced);
  std::map<std::string, std::uint64_t> bounced_at;
  ASSERT_TRUE(
      rates::read(*store, rates::Dimension::domain, 0, UINT32_MAX, [&](const rates::Row& row) {
        if (row.cell.hard == 0) return;
        bounced_at[std::string(names.text(store::Dictionary::domain, row.key))] += row.cell.hard;
      }));
  EXPECT_EQ(bounced_at, oracle.bounced_at);
  const AddressHasher hasher(store->secret());
  std::uint64_t missing = 0, addresses = 0;
  for (const std::string& address : oracle.known) {
    std::string key;
    store::append_id(key, hasher.normal_id(address));
    missing += store->get(store::Family::address, key).value() ? 0 : 1;
  }
  EXPECT_EQ(missing, 0u) << "of " << oracle.known.size();
  ASSERT_TRUE(store->scan(store::Family::address, {}, {}, [&](std::string_view, std::string_view) {
    ++addresses;
    return true;
  }));
  EXPECT_EQ(addresses, oracle.known.size() + oracle.domains.size());
}

/// A replay of three hosts' logs; true when a fault ended it.
bool FaultTest::replay_on(const std::string& data, std::shared_ptr<FaultFiles> files) const {
  Options o = options(data);
  o.files = std::move(files);
  auto engine = Engine::open(o);
  Result<void> done;
  if (engine) {
    done = replay_into(**engine, kHosts);
    const auto stopped = (*engine)->stop();
    EXPECT_TRUE(stopped || !done) << "a replay that was through did not stop well";
  } else {
    done = tl::unexpected(engine.error());
  }
  EXPECT_TRUE(done || done.error().exit_status() == 3) << done.error().message();
  return !done;
}

/// A daemon on a live log that is written in pieces; true when a fault ended it. `written` bytes of
/// `text` are in the log.
bool FaultTest::tail_on(std::mt19937& random, const std::string& data,
                        std::shared_ptr<FaultFiles> files, const std::string& text,
                        std::size_t& written) const {
  Options o = options(data);
  o.files = std::move(files);
  auto engine = Engine::open(o);
  if (!engine) {
    EXPECT_EQ(engine.error().exit_status(), 3) << engine.error().message();
    return true;
  }
  TailConfig tail;
  tail.tail.name = "live";
  tail.tail.paths = {path("live.log")};
  tail.tail.poll_us = 5'000;
  EXPECT_TRUE((*engine)->add_tail(tail));
  while (written < text.size() && !(*engine)->fatal()) {
    const std::size_t size = std::min<std::size_t>(text.size() - written, 1 + random() % 40'000);
    append("live.log", std::string_view(text).substr(written, size));
    written += size;
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 10'000));
  }
  const auto caught_up = [&] { return (*engine)->metrics().lag_bytes == 0; };
  for (int i = 0; i < 2'000 && !(*engine)->fatal() && !caught_up(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  (void)(*engine)->flush();
  const auto stopped = (*engine)->stop();
  EXPECT_TRUE(stopped || stopped.error().exit_status() == 3) << stopped.error().message();
  return !stopped;
}

std::shared_ptr<FaultFiles> FaultTest::failing_disk(std::mt19937& random, const std::string& data,
                                                    Fault fault) const {
  auto files = std::make_shared<FaultFiles>(path(data));
  if (random() % 2 == 0) files->restrict_to(".log");
  // A disk that stays full is tried for five seconds: once is enough.
  files->arm(fault, random() % 60, 1 + random() % 3, path("image"));
  return files;
}

constexpr std::array kAllFaults = {Fault::no_space, Fault::short_write, Fault::sync_error,
                                   Fault::sync_space, Fault::power_loss};

int rounds() {
  const char* more = std::getenv("BOUNCED_FAULT_ROUNDS");
  return more != nullptr ? std::stoi(more) : 1;
}

/// Faults again and again in one store, and in the end a disk that works.
TEST_F(FaultTest, AReplayCountsEveryLineOnce) {
  std::mt19937 random(20261122);
  Oracle oracle;
  for (const std::string& host : kHosts) {
    for (int i = 0; i < 1200; ++i) append(host, message(random, host.substr(0, 3), i, i, oracle));
  }
  replay("whole", kHosts);
  const std::string wanted = digest("whole");
  expect_as_written("whole", oracle);
  int ended = 0;
  for (int round = 0; round < 2 * rounds(); ++round) {
    for (const Fault fault : kAllFaults) {
      SCOPED_TRACE(fmt::format("{}, round {}", test::name_of(fault), round));
      for (int attempt = 0; attempt < 3; ++attempt) {
        ended += replay_on("data", failing_disk(random, "data", fault)) ? 1 : 0;
        if (fs::exists(path("image"))) restore("data", "image");
      }
      replay("data", kHosts);
      EXPECT_EQ(digest("data"), wanted);
      expect_as_written("data", oracle);
      fs::remove_all(path("data"));
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(ended, 0) << "no fault was ever met";
}

TEST_F(FaultTest, ALiveLogIsCountedOnce) {
  std::mt19937 random(20261123);
  Oracle oracle;
  std::string text;
  for (int i = 0; i < 3000; ++i) text += message(random, "mx1", i, i, oracle);
  append("whole.log", text);
  replay("whole", {"whole.log"});
  const std::string wanted = digest("whole");
  expect_as_written("whole", oracle);
  int ended = 0;
  for (int round = 0; round < rounds(); ++round) {
    for (const Fault fault : kAllFaults) {
      SCOPED_TRACE(fmt::format("{}, round {}", test::name_of(fault), round));
      std::size_t written = 0;
      append("live.log", {});
      for (int attempt = 0; attempt < 3; ++attempt) {
        ended +=
            tail_on(random, "data", failing_disk(random, "data", fault), text, written) ? 1 : 0;
        if (fs::exists(path("image"))) restore("data", "image");
      }
      EXPECT_FALSE(tail_on(random, "data", nullptr, text, written));
      EXPECT_EQ(digest("data"), wanted);
      expect_as_written("data", oracle);
      fs::remove_all(path("data"));
      fs::remove(path("live.log"));
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(ended, 0) << "no fault was ever met";
}

/// A backup that was put back: what came since is read again from the logs, also from rotated ones.
TEST_F(FaultTest, AStaleCopyOfTheStoreCatchesUp) {
  std::mt19937 random(20261124);
  Oracle oracle;
  std::string text;
  for (int i = 0; i < 2000; ++i) text += message(random, "mx1", i, i, oracle);
  const auto line_behind = [&](std::size_t at) { return text.find('\n', at) + 1; };
  const std::size_t half = line_behind(text.size() / 2), more = line_behind(text.size() * 3 / 4),
                    rotated = line_behind(text.size() * 4 / 5);
  append("mail.log", text.substr(0, half));
  replay("data", {"mail.log"});
  fs::copy(path("data"), path("stale"), fs::copy_options::recursive);
  append("mail.log", text.substr(half, more - half));
  replay("data", {"mail.log"});
  fs::rename(path("mail.log"), path("mail.log.1"));
  append("mail.log.1", text.substr(more, rotated - more));
  append("mail.log", text.substr(rotated));
  for (const char* data : {"data", "stale"}) replay(data, {"mail.log", "mail.log.1"});
  EXPECT_EQ(digest("stale"), digest("data"));
  expect_as_written("stale", oracle);
  expect_as_written("data", oracle);
}

}  // namespace
}  // namespace bounced::pipeline
