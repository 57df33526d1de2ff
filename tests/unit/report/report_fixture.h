// Fixture of the report tests: a small rule set, a store that the real States and Rates filled.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/batch.h"
#include "base/time.h"
#include "bounced/classifier.h"
#include "rates/rates.h"
#include "report/format.h"
#include "state/state.h"
#include "store/names.h"
#include "store/store.h"

namespace bounced::report::test {

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "report-XXXXXX").string();
    path = mkdtemp(pattern.data());
  }
  ~TempDir() { std::filesystem::remove_all(path); }
  std::string path;
};

/// The shipped causes and one rule of our own; compiled once.
inline std::shared_ptr<const RuleSet> small_rules() {
  static const std::shared_ptr<const RuleSet> kRules = [] {
    TempDir dir;
    std::filesystem::copy_file(BOUNCED_SOURCE_DIR "/rules/causes.toml", dir.path + "/causes.toml");
    std::ofstream(dir.path + "/report-test.toml")
        << "[[rule]]\nid = \"report-test/frobnicated\"\ncause = \"mailbox.moved\"\n"
           "any = [\"frobnicated mailbox\"]\n"
           "samples = [\"550 the frobnicated mailbox is gone\"]\n";
    RuleSetOptions options;
    options.rules_dir = dir.path;
    auto rules = load_rules(options);
    EXPECT_TRUE(rules.has_value()) << (rules ? "" : rules.error().message());
    return rules ? *rules : nullptr;
  }();
  return kRules;
}

class ReportTest : public testing::Test {
 protected:
  ReportTest() : rules_(small_rules()) {}
  void SetUp() override { ASSERT_NE(rules_, nullptr); }
  store::Names names_;
  std::shared_ptr<const RuleSet> rules_;
};

/// One event for the store. Times are days after kStart.
struct Told {
  EventKind kind = EventKind::bounced;
  std::string recipient;
  double days = 0;
  Cause cause = Cause::none;
  std::string diagnostic;
  std::string mta_host = "mx.example.net";
  Severity said = Severity::permanent;
};

class StoreTest : public ReportTest {
 protected:
  static constexpr std::int64_t kStart = 20'500 * kDayUs;
  static std::int64_t at(double days) {
    return kStart + static_cast<std::int64_t>(days * static_cast<double>(kDayUs));
  }

  void SetUp() override {
    ReportTest::SetUp();
    auto policy = state::load_policy();
    ASSERT_TRUE(policy.has_value()) << policy.error().message();
    policy_ = *policy;
    auto opened = store::Store::open(dir_.path + "/d", {});
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    store_ = std::move(*opened);
  }

  /// Applies the events through States and Rates and commits.
  void tell(const std::vector<Told>& all) {
    state::Options options;
    options.table_bytes = std::size_t{8} << 20;
    options.rule_name = [](const Verdict&) { return std::string_view{}; };
    state::States states(policy_, names_, options);
    ASSERT_TRUE(states.open(store_.get()).has_value());
    rates::Rates rates(names_, {});
    ASSERT_TRUE(rates.open(store_.get()).has_value());
    const AddressHasher hasher(store_->secret());
    BlockPool pool(1, 4096);
    Batch batch;
    batch.block = pool.take();
    for (const Told& told : all) add(batch, hasher, told);
    std::vector<Event*> events;
    for (Event& event : batch.events) events.push_back(&event);
    std::vector<std::uint8_t> counted;
    ASSERT_TRUE(states.apply(batch, events, &counted).has_value());
    ASSERT_TRUE(rates.apply(batch, events, counted).has_value());
    store::WriteSet set;
    states.append_to(set);
    rates.append_to(set);
    names_.append_to(set);
    ASSERT_TRUE(store_->commit(set, true).has_value());
  }
  Context context(double days) { return {*store_, names_, *rules_, at(days)}; }

 private:
  void add(Batch& batch, const AddressHasher& hasher, const Told& told) {
    Event event;
    event.kind = told.kind;
    event.id = event.message = ++count_;
    event.time_us = at(told.days);
    event.offset = count_ * 100;
    event.source = names_.intern(store::Dictionary::source, "mail.log");
    ASSERT_TRUE(hasher.ids(told.recipient, event.recipient_id, event.domain_id));
    event.recipient = batch.add(told.recipient);
    event.sender = batch.add("news@shop.example");
    event.queue_id = batch.add("Q" + std::to_string(count_));
    event.mta_host = batch.add(told.mta_host);
    event.mta_port = 25;
    event.campaign = batch.add("=spring");
    if (event.failing()) {
      event.smtp_code = told.said == Severity::permanent ? 550 : 450;
      event.diagnostic = batch.add(told.diagnostic);
      batch.set_verdict(event, verdict_of(*rules_, told.cause, told.said, 98));
    }
    batch.events.push_back(event);
  }
  std::uint64_t count_ = 0;

 protected:
  TempDir dir_;
  Policy policy_;
  std::unique_ptr<store::Store> store_;
};

}  // namespace bounced::report::test
