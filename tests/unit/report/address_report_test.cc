#include "report/address_report.h"

#include <simdjson.h>

#include <string>

#include "report/list_report.h"
#include "report_fixture.h"

namespace bounced::report {
namespace {

using test::Told;

class AddressReportTest : public test::StoreTest {
 protected:
  std::string json(std::string_view address, double days, bool history = true) {
    auto facts = find_address(context(days), address);
    EXPECT_TRUE(facts.has_value()) << (facts ? "" : facts.error().message());
    if (!facts || !facts->has_value()) return {};
    std::string out;
    append_address_json(out, **facts, context(days), history);
    EXPECT_EQ(out.back(), '\n');
    out.pop_back();
    simdjson::dom::parser parser;
    EXPECT_EQ(parser.parse(out).error(), simdjson::SUCCESS) << out;
    return out;
  }
  static bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
  }
};

TEST_F(AddressReportTest, AHardBounceBlocksAndSaysWhy) {
  tell({{EventKind::bounced, "Jo@Example.com", 1, Cause::mailbox_unknown, "550 5.1.1 no such user",
         "mx.example.com"}});
  const std::string out = json("jo@example.COM.", 2);
  EXPECT_TRUE(has(out, R"({"address":"Jo@Example.com","blocks":[{"kind":"dead","scope":"global",)"
                       R"("cause":"mailbox.unknown","category":"Bad Mailbox","since":")"))
      << out;
  EXPECT_TRUE(has(out, R"("until":")")) << out;
  EXPECT_TRUE(has(out, R"("streak":{"count":1,"since":)")) << out;
  EXPECT_TRUE(has(out, R"("totals":{"delivered":0,"bounced":1,"expired":0,"deferred":0,)")) << out;
  EXPECT_TRUE(has(out, R"("last":{"time":)")) << out;
  EXPECT_TRUE(has(out, R"("diagnostic":"550 5.1.1 no such user")")) << out;
  EXPECT_TRUE(has(out, R"("mta":{"host":"mx.example.com")")) << out;
  EXPECT_TRUE(has(out, R"("source":{"name":"mail.log","offset":)")) << out;
  EXPECT_TRUE(has(out, R"("advice":"Stop mailing)")) << out;
  EXPECT_TRUE(has(out, R"("history":[{"time":)")) << out;
  EXPECT_FALSE(has(out, R"("retry":)")) << out;
  EXPECT_FALSE(has(json("jo@example.com", 2, false), R"("history":)"));
}

TEST_F(AddressReportTest, HistoryIsNewestFirst) {
  tell({{EventKind::bounced, "a@x.example", 1, Cause::mailbox_full, "552 first"},
        {EventKind::bounced, "a@x.example", 3, Cause::mailbox_full, "552 third"},
        {EventKind::bounced, "a@x.example", 2, Cause::mailbox_full, "552 second"}});
  const std::string out = json("a@x.example", 4);
  const auto history = out.find("\"history\"");
  const auto third = out.find("552 third", history);
  const auto second = out.find("552 second", history);
  const auto first = out.find("552 first", history);
  ASSERT_NE(first, std::string::npos);
  EXPECT_LT(third, second);
  EXPECT_LT(second, first);
  EXPECT_TRUE(has(out, R"("retry":{"action":)")) << out;
}

TEST_F(AddressReportTest, NothingKnownAndNoAddress) {
  tell({{EventKind::delivered, "a@x.example", 1}});
  auto facts = find_address(context(2), "nobody@x.example");
  ASSERT_TRUE(facts.has_value());
  EXPECT_FALSE(facts->has_value());
  const auto bad = find_address(context(2), "@");
  ASSERT_FALSE(bad.has_value());
  EXPECT_EQ(bad.error().code, ErrorCode::usage);
}

TEST_F(AddressReportTest, TextCannotDriveATerminal) {
  tell({{EventKind::bounced, "a@x.example", 1, Cause::mailbox_unknown, "550 \x1b[2J gone"}});
  auto facts = find_address(context(2), "a@x.example");
  ASSERT_TRUE(facts && facts->has_value());
  std::string out;
  append_address_text(out, **facts, context(2));
  EXPECT_TRUE(has(out, "a@x.example\n  blocked   dead (global) since")) << out;
  EXPECT_TRUE(has(out, "mailbox.unknown (Bad Mailbox)")) << out;
  EXPECT_TRUE(has(out, "[2J gone")) << out;
  EXPECT_FALSE(has(out, "\x1b")) << out;
}

TEST_F(AddressReportTest, ABlockThatIsOverIsNotShown) {
  tell({{EventKind::bounced, "a@x.example", 1, Cause::mailbox_unknown, "550 gone"}});
  EXPECT_TRUE(has(json("a@x.example", 100), R"("kind":"dead")"));
  EXPECT_TRUE(has(json("a@x.example", 400), R"("blocks":[])"));
}

// --- retry table

state::AddressState failed(Cause cause, std::vector<double> days) {
  state::AddressState state;
  state.first_us = 1;
  for (const double day : days) {
    state::FailureRecord failure;
    failure.time_us = static_cast<std::int64_t>(day * static_cast<double>(kDayUs));
    failure.message = state.failures.size() + 1;
    failure.cause = static_cast<std::uint16_t>(cause);
    state.failures.push_back(failure);
  }
  return state;
}

TEST(RetryAdvice, FullMailboxWithinThreeDays) {
  const auto advice = retry_advice(failed(Cause::mailbox_full, {10, 11}), 11 * kDayUs);
  EXPECT_EQ(advice.kind, RetryAdvice::Kind::resend);
  EXPECT_EQ(advice.earliest_us, 12 * kDayUs);
  EXPECT_EQ(advice.latest_us, 13 * kDayUs) << "72 h after the first";
  EXPECT_EQ(advice.attempts_left, 4u);
  EXPECT_EQ(advice.interval_hours_max, 48u);
  EXPECT_EQ(retry_advice(failed(Cause::mailbox_full, {10}), 14 * kDayUs).kind,
            RetryAdvice::Kind::over);
  EXPECT_EQ(retry_advice(failed(Cause::mailbox_full, {10, 12.5}), 12 * kDayUs).kind,
            RetryAdvice::Kind::over);
}

TEST(RetryAdvice, TheOtherRowsOfTheTable) {
  const auto down = retry_advice(failed(Cause::domain_down, {10}), 10 * kDayUs);
  EXPECT_EQ(down.kind, RetryAdvice::Kind::resend);
  EXPECT_EQ(down.earliest_us, 10 * kDayUs + 2 * kHourUs);
  EXPECT_EQ(down.latest_us, 17 * kDayUs);
  EXPECT_EQ(down.attempts_left, 15u);
  const auto kind = [](Cause cause) { return retry_advice(failed(cause, {10}), 10 * kDayUs).kind; };
  EXPECT_EQ(kind(Cause::rate_greylist), RetryAdvice::Kind::wait);
  EXPECT_EQ(kind(Cause::sender_ip_listed), RetryAdvice::Kind::stop);
  EXPECT_EQ(kind(Cause::mailbox_unknown), RetryAdvice::Kind::none);
  auto delivered = failed(Cause::mailbox_full, {10});
  delivered.last_delivery_us = 11 * kDayUs;
  EXPECT_EQ(retry_advice(delivered, 11 * kDayUs).kind, RetryAdvice::Kind::none);
}

// --- lists

class ListReportTest : public AddressReportTest {
 protected:
  void fill() {
    tell({{EventKind::bounced, "dead@a.example", 1, Cause::mailbox_unknown, "550 5.1.1 =cmd|calc",
           "mx1.google.example"},
          {EventKind::bounced, "+plus@b.example", 2, Cause::mailbox_unknown, "550 \"gone\", really",
           "mx.other.example"},
          {EventKind::bounced, "filtered@sub.a.example", 3, Cause::mailbox_filtered, "550 blocked",
           "mx.other.example"},
          {EventKind::bounced, "once@a.example", 4, Cause::mailbox_full, "552 full"},
          {EventKind::delivered, "fine@a.example", 4}});
  }
  std::vector<std::string> list(const ListFilter& filter, double days = 5) {
    std::vector<std::string> found;
    const auto done = list_addresses(context(days), filter, false, [&](const ListRow& row) {
      found.push_back(row.state.text);
      return true;
    });
    EXPECT_TRUE(done.has_value()) << (done ? "" : done.error().message());
    std::sort(found.begin(), found.end());
    return found;
  }
  using Texts = std::vector<std::string>;
};

TEST_F(ListReportTest, EveryFilterCutsTheList) {
  fill();
  EXPECT_EQ(list({}), (Texts{"+plus@b.example", "dead@a.example", "filtered@sub.a.example"}));
  ListFilter f;
  ASSERT_TRUE(parse_block_kinds("dead", f.kinds));
  EXPECT_EQ(list(f), (Texts{"+plus@b.example", "dead@a.example"}));
  ASSERT_TRUE(parse_block_kinds("temporary", f.kinds));
  EXPECT_EQ(list(f), Texts{});
  ASSERT_TRUE(parse_block_kinds("filtered,soft", f.kinds));
  EXPECT_EQ(list(f), Texts{"filtered@sub.a.example"});
  f = {};
  f.cause = "mailbox.filtered";
  EXPECT_EQ(list(f), Texts{"filtered@sub.a.example"});
  f.cause = "mailbox";
  EXPECT_EQ(list(f).size(), 3u);
  f.cause = "mail";
  EXPECT_EQ(list(f), Texts{});
  f = {};
  f.category = Category::bad_mailbox;
  EXPECT_EQ(list(f), (Texts{"+plus@b.example", "dead@a.example"}));
  f = {};
  f.domain = "A.example.";
  EXPECT_EQ(list(f), (Texts{"dead@a.example", "filtered@sub.a.example"}));
  f = {};
  f.provider = "google";
  EXPECT_EQ(list(f), Texts{"dead@a.example"});
  f.provider = "other.example";
  EXPECT_EQ(list(f), (Texts{"+plus@b.example", "filtered@sub.a.example"}));
  f = {};
  f.since_us = at(1.5);
  f.until_us = at(2.5);
  EXPECT_EQ(list(f), Texts{"+plus@b.example"});
  f = {};
  f.kinds = 0;
  EXPECT_EQ(list(f).size(), 4u) << "all with a state";
  f.cause = "mailbox.full";
  EXPECT_EQ(list(f), Texts{"once@a.example"});
  f = {};
  f.streak_min = 2;
  EXPECT_EQ(list(f), Texts{});
  EXPECT_EQ(list({}, 400), Texts{"filtered@sub.a.example"}) << "the dead ones are over by then";
}

TEST_F(ListReportTest, WritesTableCsvAndNdjson) {
  fill();
  const auto write = [&](Format format) {
    std::string out;
    const auto rows =
        write_list(context(5), {}, format, [&](std::string_view text) { out += text; });
    EXPECT_TRUE(rows.has_value());
    EXPECT_EQ(*rows, 3u);
    return out;
  };
  const std::string table = write(Format::table);
  EXPECT_TRUE(has(table, "block        cause")) << table;
  EXPECT_TRUE(has(table, "dead         mailbox.unknown ")) << table;
  const std::string csv = write(Format::csv);
  EXPECT_TRUE(has(csv, "address,block,scope,cause,category,since")) << csv;
  EXPECT_TRUE(has(csv, "\r\n'+plus@b.example,dead,")) << csv;
  EXPECT_TRUE(has(csv, ",\"550 \"\"gone\"\", really\"\r\n")) << csv;
  const std::string ndjson = write(Format::ndjson);
  EXPECT_TRUE(has(ndjson, "{\"address\":\"dead@a.example\",\"blocks\":[{")) << ndjson;
  EXPECT_FALSE(has(ndjson, "\"history\"")) << ndjson;
}

TEST_F(ListReportTest, StopsWhenToldTo) {
  fill();
  int rows = 0;
  ASSERT_TRUE(list_addresses(context(5), {}, false, [&](const ListRow&) {
                return ++rows < 2;
              }).has_value());
  EXPECT_EQ(rows, 2);
}

TEST(BlockKinds, RejectsWhatItDoesNotKnow) {
  std::uint32_t kinds = 7;
  EXPECT_FALSE(parse_block_kinds("ded", kinds));
  EXPECT_FALSE(parse_block_kinds("", kinds));
  EXPECT_FALSE(parse_block_kinds("none", kinds));
  EXPECT_EQ(kinds, 7u);
  std::uint32_t any = 0, temporary = 0, permanent = 0;
  ASSERT_TRUE(parse_block_kinds("any", any));
  ASSERT_TRUE(parse_block_kinds("temporary", temporary));
  ASSERT_TRUE(parse_block_kinds("permanent", permanent));
  EXPECT_EQ(temporary | permanent, any);
  EXPECT_EQ(temporary & permanent, 0u);
}

}  // namespace
}  // namespace bounced::report
