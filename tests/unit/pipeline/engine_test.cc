#include "pipeline/engine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <thread>

#include "base/time.h"
#include "report/digest.h"

namespace bounced::pipeline {
namespace {

namespace fs = std::filesystem;

class EngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/bounced-engine-XXXXXX";
    dir_ = mkdtemp(name);
  }
  void TearDown() override { fs::remove_all(dir_); }

  [[nodiscard]] std::string path(const std::string& name) const { return dir_ + "/" + name; }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }
  [[nodiscard]] Options options(const std::string& data) const {
    Options o;
    o.data_dir = data.empty() ? "" : path(data);
    o.workers = 2;
    o.cut_interval_us = 5'000;
    return o;
  }
  // A store's digest, opened by itself.
  [[nodiscard]] std::string digest(const std::string& data) const {
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
      text += part.name + " " + std::to_string(part.records) + " " + std::to_string(part.lo) + "\n";
    }
    return text;
  }
  Metrics replay(const std::string& data, const std::vector<std::string>& files) const {
    auto engine = Engine::open(options(data));
    EXPECT_TRUE(engine) << engine.error().message();
    ReplayConfig config;
    config.files = files;
    auto running = (*engine)->replay(config);
    EXPECT_TRUE(running);
    EXPECT_TRUE(running->wait());
    const Metrics metrics = (*engine)->metrics();
    EXPECT_TRUE((*engine)->stop());
    return metrics;
  }
  static TailConfig tail_of(const std::string& file) {
    TailConfig tail;
    tail.tail.name = "live";
    tail.tail.paths = {file};
    tail.tail.poll_us = 20'000;
    return tail;
  }
  /// How many lines are applied in the end, when so many are awaited.
  static std::uint64_t lines_applied(Engine& engine, std::uint64_t awaited) {
    const auto applied = [&engine] {
      (void)engine.flush();
      return engine.metrics().lines.lines;
    };
    for (int i = 0; i < 500 && applied() < awaited; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return applied();
  }
  std::string dir_;
};

// One host's log: message n is delivered, deferred or bounced by n mod 3, over `recipients`.
std::string host_log(const std::string& host, int messages, int offset_s) {
  std::string text;
  const std::int64_t begin = *parse_time("2026-11-20T00:00:00Z");
  for (int i = 0; i < messages; ++i) {
    const std::string stamp = format_time(begin + (std::int64_t{i} * 7 + offset_s) * kSecondUs + 1);
    const std::string head = stamp + " " + host + " postfix/";
    const std::string id = "4jX" + std::to_string(100000 + i) + "zAbCdEf";
    const std::string to =
        "user" + std::to_string(i % 97) + "@example" + std::to_string(i % 5) + ".com";
    text +=
        head + "qmgr[1]: " + id + ": from=<news@esp.example>, size=100, nrcpt=1 (queue active)\n";
    const std::string tail = ", relay=mx.example.com[192.0.2.7]:25, delay=1, delays=0/0/0/1, dsn=";
    const char* const kinds[] = {"2.0.0, status=sent (250 2.0.0 ok)",
                                 "4.2.2, status=deferred (host mx.example.com[192.0.2.7] said: 452 "
                                 "4.2.2 Mailbox full (in reply "
                                 "to RCPT TO command))",
                                 "5.1.1, status=bounced (host mx.example.com[192.0.2.7] said: 550 "
                                 "5.1.1 User unknown (in reply "
                                 "to RCPT TO command))"};
    text += head + "smtp[2]: " + id + ": to=<" + to + ">" + tail + kinds[i % 3] + "\n";
    if (i % 3 != 1) text += head + "qmgr[1]: " + id + ": removed\n";
  }
  return text;
}

std::size_t count(const Metrics& m, EventKind kind) {
  return m.events[static_cast<std::size_t>(kind)];
}

/// Gives `path` a small disk of its own, for this thread and those it starts.
bool mount_small_disk(const std::string& path) {
  if (::unshare(CLONE_NEWNS) != 0) return false;
  (void)::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  return ::mount("bounced-test", path.c_str(), "tmpfs", 0, "size=24m") == 0;
}

/// While a cut cannot be written, memory does not grow; afterwards nothing is missing.
TEST_F(EngineTest, WaitsForADiskThatDoesNotTakeTheCut) {
  fs::create_directory(path("disk"));
  if (!mount_small_disk(path("disk"))) GTEST_SKIP() << "mounting is not permitted here";
  constexpr int kMessages = 40'000;
  ReplayConfig config;
  config.files = {write("mail.log", host_log("mx1", kMessages, 0))};
  std::atomic<std::size_t> applied{0};
  {
    Options o = options("disk/data");
    o.dirty_bytes_max = 256 << 10;
    o.on_events = [&](const Batch&, std::span<Event* const> events) { applied += events.size(); };
    auto engine = Engine::open(o);
    ASSERT_TRUE(engine) << engine.error().message();
    const int fd = ::open(path("disk/ballast").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    for (off_t size = 24 << 20; size > 0 && ::posix_fallocate(fd, 0, size) != 0;) size -= 4096;
    ::close(fd);
    auto running = (*engine)->replay(config);
    ASSERT_TRUE(running);
    for (int i = 0; i < 6'000 && !(*engine)->fatal(); ++i) (void)running->wait_for(10'000);
    EXPECT_FALSE((*engine)->stop());
    const auto done = running->wait();
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::no_space) << done.error().message();
  }
  EXPECT_LT(applied.load(), std::size_t{kMessages} / 2);
  fs::remove(path("disk/ballast"));
  replay("disk/data", config.files);
  replay("whole", config.files);
  EXPECT_EQ(digest("disk/data"), digest("whole"));
  EXPECT_EQ(::umount2(path("disk").c_str(), MNT_DETACH), 0);
}

/// A block that ends within the log is over when the replay is, however fast that was.
TEST_F(EngineTest, WhatFallsDueInAReplayHasHappenedAtItsEnd) {
  const auto line = [](const std::string& stamp, const std::string& id, const std::string& rest) {
    return stamp + " mx1 postfix/smtp[2]: " + id + ": to=<" + rest + "\n";
  };
  const std::string relay = ">, relay=mx.example.com[192.0.2.7]:25, delay=1, delays=0/0/0/1, dsn=";
  const std::string dead = line("2026-01-01T00:00:00.000000+00:00", "4jX100000zAbCdEf",
                                "gone@example.com" + relay +
                                    "5.1.1, status=bounced (host mx.example.com[192.0.2.7] said: "
                                    "550 5.1.1 User unknown (in reply to RCPT TO command))");
  const std::string later = line("2026-09-01T00:00:00.000000+00:00", "4jX100001zAbCdEf",
                                 "jo@example.org" + relay + "2.0.0, status=sent (250 2.0.0 ok)");
  EXPECT_EQ(replay("before", {write("before.log", dead)}).states.blocked, 1u);
  EXPECT_EQ(replay("after", {write("after.log", dead + later)}).states.blocked, 0u);
}

TEST_F(EngineTest, CountsEveryLineOnce) {
  const auto file = write("a.log", host_log("mx1", 3000, 0));
  const Metrics m = replay("d", {file});
  EXPECT_EQ(count(m, EventKind::delivered), 1000u);
  EXPECT_EQ(count(m, EventKind::deferred), 1000u);
  EXPECT_EQ(count(m, EventKind::bounced), 1000u);
  EXPECT_EQ(m.lines.unparsed, 0u);
  EXPECT_EQ(m.lines.lines, 8000u);
  EXPECT_GT(m.states.blocked, 0u);
  const std::string before = digest("d");
  const Metrics again = replay("d", {file});
  EXPECT_EQ(again.lines.lines, 0u) << "an applied file is a no-op";
  EXPECT_EQ(digest("d"), before);
}

TEST_F(EngineTest, OrderOfFilesDoesNotMatter) {
  std::vector<std::string> files = {write("a.log", host_log("mx1", 2000, 0)),
                                    write("b.log", host_log("mx2", 2500, 3)),
                                    write("c.log", host_log("mx3", 1500, 3600))};
  std::sort(files.begin(), files.end());
  std::string first;
  int n = 0;
  do {
    const std::string data = "d" + std::to_string(n++);
    replay(data, files);
    if (first.empty()) first = digest(data);
    EXPECT_EQ(digest(data), first);
  } while (std::next_permutation(files.begin(), files.end()));
}

/// Where a log was rotated within a second, the older file's lines of it come first, also when it
/// was read up to there before.
TEST_F(EngineTest, ARotationWithinASecondKeepsTheOrder) {
  for (int i = 0; i < 16; ++i) {
    const std::string id = "4jX" + std::to_string(100000 + i) + "zAbCdEf: ";
    const auto qmgr = [&](const std::string& second, const std::string& text) {
      return "Nov 20 00:00:" + second + " mx postfix/qmgr[1]: " + id + text + "\n";
    };
    const auto deferred = [&](const std::string& to) {
      return "Nov 20 00:00:10 mx postfix/smtp[2]: " + id + "to=<" + to +
             ">, relay=none, delay=9, delays=9/0/0/0, dsn=4.4.1, status=deferred (connect to "
             "mx.example.com[192.0.2.7]:25: Connection timed out)\n";
    };
    const std::string begin =
        qmgr("09", "from=<news@esp.example>, size=100, nrcpt=2 (queue active)");
    const std::string newer =
        qmgr("10", "from=<news@esp.example>, status=expired, returned to sender") +
        qmgr("10", "removed");
    const std::string n = std::to_string(i);
    const std::string data = "d" + n;
    replay(data, {write("mail.log.1" + n, begin + deferred("ann@example.com"))});
    const Metrics m = replay(data, {write("mail.log" + n, newer),
                                    write("mail.log.1" + n, begin + deferred("ann@example.com") +
                                                                deferred("jo@example.com"))});
    EXPECT_EQ(count(m, EventKind::expired), 2u) << i;
    const Metrics fresh = replay("f" + n, {path("mail.log" + n), path("mail.log.1" + n)});
    EXPECT_EQ(count(fresh, EventKind::expired), 2u) << i;
  }
}

TEST_F(EngineTest, ManyFilesNeedNoManyBlocks) {
  // Rotated pieces of one log, far more than the pool could hold at once.
  const std::string all = host_log("mx1", 4000, 0);
  std::vector<std::string> files;
  std::size_t at = 0;
  while (at < all.size()) {
    std::size_t end = std::min(all.size(), at + 10'000);
    end = all.find('\n', end - 1) + 1;
    if (end == 0) end = all.size();
    files.push_back(
        write("part" + std::to_string(files.size()) + ".log", all.substr(at, end - at)));
    at = end;
  }
  ASSERT_GT(files.size(), 100u);
  std::reverse(files.begin(), files.end());
  replay("parts", files);
  replay("whole", {write("whole.log", all)});
  EXPECT_EQ(digest("parts"), digest("whole"));
}

/// The blocks of the first file wait for the others' first ones, and must not be all that there
/// are.
TEST_F(EngineTest, LongFilesThatOverlapLeaveBlocksForEachOther) {
  std::vector<std::string> files;
  for (int i = 0; i < 3; ++i) {
    const std::string host = "mx" + std::to_string(i);
    files.push_back(write(host + ".log", host_log(host, 25'000, 600 * i)));
    ASSERT_GT(fs::file_size(files.back()), 8 * limits::kBlockBytes);
  }
  const Metrics m = replay("d", files);
  EXPECT_EQ(m.lines.lines, 200'001u);
}

TEST_F(EngineTest, StoppedAndContinuedIsTheSame) {
  std::string all;
  for (int i = 0; i < 30; ++i) all += host_log("mx" + std::to_string(i), 3000, i * 30'000);
  const auto file = write("big.log", all);
  replay("whole", {file});
  for (int round = 0; round < 40; ++round) {
    auto engine = Engine::open(options("stopped"));
    ASSERT_TRUE(engine) << engine.error().message();
    ReplayConfig config;
    config.files = {file};
    auto running = (*engine)->replay(config);
    ASSERT_TRUE(running);
    const bool done = running->wait_for(3'000 + 2'000 * round);
    ASSERT_TRUE((*engine)->stop());
    if (done) break;
  }
  replay("stopped", {file});
  EXPECT_EQ(digest("stopped"), digest("whole"));
}

TEST_F(EngineTest, TailFollowsAndChangesAreDurable) {
  const auto file = write("live.log", host_log("mx1", 300, 0));
  {
    auto engine = Engine::open(options("d"));
    ASSERT_TRUE(engine);
    ASSERT_TRUE((*engine)->add_tail(tail_of(file)));
    EXPECT_EQ(lines_applied(**engine, 800), 800u);
    std::ofstream(file, std::ios::app)
        << host_log("mx1", 600, 0).substr(host_log("mx1", 300, 0).size());
    EXPECT_EQ(lines_applied(**engine, 1600), 1600u);
    auto changed =
        (*engine)->change([](state::States& states, store::Names& names) -> Result<void> {
          state::States::Command command;
          command.address = "by.hand@example.com";
          command.record.kind = BlockKind::manual;
          command.record.actor = names.intern(store::Dictionary::actor, "test");
          command.time_us = *parse_time("2026-11-21");
          command.record.since_us = command.time_us;
          auto done = states.command(command);
          if (!done) return tl::unexpected(done.error());
          EXPECT_TRUE(*done);
          return {};
        });
    EXPECT_TRUE(changed);
    AddressId id, domain;
    ASSERT_TRUE((*engine)->hasher().ids("by.hand@example.com", id, domain));
    EXPECT_NE((*engine)->view().word(id), 0u);
    ASSERT_TRUE((*engine)->stop());
  }
  replay("whole", {file});
  // The same store but for the block by hand.
  auto engine = Engine::open(options("d"));
  ASSERT_TRUE(engine);
  AddressId id, domain;
  ASSERT_TRUE((*engine)->hasher().ids("by.hand@example.com", id, domain));
  for (int i = 0; i < 500 && !(*engine)->view().complete(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    (void)(*engine)->flush();
  }
  EXPECT_NE((*engine)->view().word(id), 0u) << "published again after a restart";
}

/// First the history by hand, then the daemon: what was replayed is not counted again.
TEST_F(EngineTest, ATailGoesOnWhereAReplayEnded) {
  const std::string all = host_log("mx1", 600, 0), begin = host_log("mx1", 300, 0);
  const auto file = write("live.log", begin);
  replay("d", {file});
  std::ofstream(file, std::ios::app) << all.substr(begin.size());
  auto engine = Engine::open(options("d"));
  ASSERT_TRUE(engine) << engine.error().message();
  ASSERT_TRUE((*engine)->add_tail(tail_of(file)));
  EXPECT_EQ(lines_applied(**engine, 800), 800u);
  // Beside the daemon: its file is its own, another one is read once, however often it is asked.
  const auto other = write("other.log", host_log("mx2", 3000, 3));
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      ReplayConfig config;
      config.files = {file, other};
      auto running = (*engine)->replay(config);
      ASSERT_TRUE(running && running->wait());
      EXPECT_EQ(running->notices().size(), 1u);
    });
  }
  for (auto& caller : callers) caller.join();
  ASSERT_TRUE((*engine)->stop());
  EXPECT_EQ((*engine)->metrics().lines.lines, 8800u);
  engine->reset();
  replay("whole", {write("whole.log", all), other});
  EXPECT_EQ(digest("d"), digest("whole"));
}

TEST_F(EngineTest, CopiesOfAFileAreReadOnce) {
  const std::string text = host_log("mx1", 3000, 0);
  const auto file = write("a.log", text), copy = write("b.log", text);
  EXPECT_EQ(replay("d", {file, copy}).lines.lines, 8000u);
  // An earlier state of what was applied: nothing in it is new.
  const auto earlier = write("c.log", host_log("mx1", 2000, 0));
  EXPECT_EQ(replay("d", {earlier}).lines.lines, 0u);
  EXPECT_EQ(replay("e", {earlier, file}).lines.lines, 8000u);
  EXPECT_EQ(digest("d"), digest("e"));
}

TEST_F(EngineTest, EqualTimesOfSeveralFilesHaveOneOrder) {
  const auto line = [](const std::string& host, const std::string& rest) {
    return "2026-11-20T00:00:00Z " + host + " postfix/smtp[2]: 4jX100000zAbCdEf: to=<" + rest;
  };
  const std::string relay = "@example.com>, relay=mx.example.com[192.0.2.7]:25, delay=1, ";
  const std::string sent = "delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 ok)\n";
  const std::string bounced =
      "delays=0/0/0/1, dsn=5.1.1, status=bounced (host mx.example.com[192.0.2.7] said: 550 5.1.1 "
      "User unknown (in reply to RCPT TO command))\n";
  const auto file = [&](const std::string& host, const std::string& end) {
    std::string text;
    for (int i = 0; i < 50; ++i) text += line(host, "user" + std::to_string(i) + relay + end);
    return write(host + ".log", text);
  };
  std::vector<std::string> seen;
  Options o = options("");
  o.keep_state = false;
  for (const bool turned : {false, true}) {
    std::string& order = seen.emplace_back();
    o.on_events = [&order](const Batch& batch, std::span<Event* const> events) {
      for (const Event* event : events) order += batch.view(event->recipient);
      for (const Event* event : events) order += to_string(event->kind);
    };
    std::vector<std::string> files = {file("mx1", sent), file("mx2", bounced)};
    if (turned) std::reverse(files.begin(), files.end());
    auto engine = Engine::open(o);
    ASSERT_TRUE(engine);
    ReplayConfig config;
    config.files = files;
    auto running = (*engine)->replay(config);
    ASSERT_TRUE(running && running->wait());
    ASSERT_TRUE((*engine)->stop());
  }
  EXPECT_EQ(seen[0], seen[1]);
}

TEST_F(EngineTest, EventsArriveInOrderWithoutAStore) {
  std::vector<std::int64_t> times;
  Options o = options("");
  o.keep_state = false;
  o.on_events = [&](const Batch&, std::span<Event* const> events) {
    for (const Event* event : events) times.push_back(event->time_us);
  };
  auto engine = Engine::open(std::move(o));
  ASSERT_TRUE(engine);
  ReplayConfig config;
  config.files = {write("b.log", host_log("mx2", 900, 3)), write("a.log", host_log("mx1", 900, 0))};
  auto running = (*engine)->replay(config);
  ASSERT_TRUE(running && running->wait());
  ASSERT_TRUE((*engine)->stop());
  EXPECT_EQ(times.size(), 1800u);
  EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
}

/// What is applied is told while the next batches wait, however long their states take.
TEST_F(EngineTest, FiguresAreToldWhileStatesAreBusy) {
  std::mutex mutex;
  std::condition_variable changed;
  bool seen = false;
  std::size_t batches = 0, first = 0;
  Options o = options("d");
  o.on_events = [&](const Batch&, std::span<Event* const> events) {
    std::unique_lock lock(mutex);
    if (++batches == 1) first = events.size();
    if (batches != 2) return;
    EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(30), [&] { return seen; }));
  };
  auto engine = Engine::open(std::move(o));
  ASSERT_TRUE(engine);
  const std::string log = write("a.log", host_log("mx1", 12'000, 0));
  ASSERT_GT(fs::file_size(log), 3 * limits::kBlockBytes);
  ASSERT_TRUE((*engine)->add_tail(tail_of(log)));
  std::uint64_t told = 0;
  for (int i = 0; i < 1000 && told == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    told = (*engine)->metrics().state.received;
    (void)(*engine)->rule_hits();  // nor does this wait
  }
  {
    const std::lock_guard lock(mutex);
    EXPECT_EQ(told, first);
    seen = true;
  }
  changed.notify_all();
  EXPECT_EQ(lines_applied(**engine, 32'000), 32'000u);
  // Lines are told as they are applied, states when they follow.
  for (int i = 0; i < 1000 && (*engine)->metrics().state.received < 12'000; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ((*engine)->metrics().state.received, 12'000u);
  ASSERT_TRUE((*engine)->stop());
}

/// Who truncates a log relies on it: lag 0 and a flush mean that nothing of it is needed any more.
TEST_F(EngineTest, WhatIsReadButNotAppliedIsLag) {
  auto engine = Engine::open(options("d"));
  ASSERT_TRUE(engine);
  ASSERT_TRUE((*engine)->add_tail(tail_of(path("a.log"))));
  std::promise<void> busy, release;
  std::thread command([&] {
    EXPECT_TRUE((*engine)->change([&](state::States&, store::Names&) -> Result<void> {
      busy.set_value();
      release.get_future().wait();
      return {};
    }));
  });
  busy.get_future().wait();  // apply takes nothing
  const std::uint64_t size = fs::file_size(write("a.log", host_log("mx1", 300, 0)));
  const auto all_read = [&] {
    const auto files = (*engine)->files();
    return files.size() == 1 && files[0].offset == size;
  };
  for (int i = 0; i < 1000 && !all_read(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(all_read());
  EXPECT_EQ((*engine)->metrics().lag_bytes, size);
  release.set_value();
  command.join();
  EXPECT_EQ(lines_applied(**engine, 800), 800u);
  EXPECT_EQ((*engine)->metrics().lag_bytes, 0u);
  ASSERT_TRUE((*engine)->stop());
}

TEST_F(EngineTest, UnreadableFilesAreToldAndTheRestIsRead) {
  auto engine = Engine::open(options("d"));
  ASSERT_TRUE(engine);
  ReplayConfig config;
  config.files = {path("missing.log"), write("a.log", host_log("mx1", 30, 0))};
  auto running = (*engine)->replay(config);
  ASSERT_TRUE(running);
  const auto result = running->wait();
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message().find("missing.log"), std::string::npos);
  EXPECT_EQ((*engine)->metrics().lines.lines, 80u);
}

}  // namespace
}  // namespace bounced::pipeline
