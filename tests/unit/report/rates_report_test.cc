#include "report/rates_report.h"

#include <simdjson.h>

#include <sstream>
#include <string>

#include "report_fixture.h"

namespace bounced::report {
namespace {

class RatesReportTest : public test::StoreTest {
 protected:
  void fill() {
    std::vector<test::Told> all;
    for (int i = 0; i < 95; ++i) {
      all.push_back({EventKind::delivered, "d" + std::to_string(i) + "@a.example", 1});
    }
    for (int i = 0; i < 3; ++i) {
      all.push_back({EventKind::bounced, "u" + std::to_string(i) + "@a.example", 1,
                     Cause::mailbox_unknown, "550 unknown"});
    }
    all.push_back({EventKind::bounced, "f@b.example", 1.5, Cause::mailbox_full, "552 full"});
    all.push_back({EventKind::expired, "x@c.example", 1.5, Cause::domain_down, "timed out",
                   "mx.c.example", Severity::temporary});
    tell(all);
  }
  RatesTable table(Grouping by, std::size_t top = 20) {
    RatesQuery query;
    query.by = by;
    query.top = top;
    auto table = rates_table(context(5), query);
    EXPECT_TRUE(table.has_value()) << (table ? "" : table.error().message());
    return table ? *table : RatesTable{};
  }
  static const RatesLine* line(const RatesTable& table, std::string_view name) {
    for (const RatesLine& l : table.lines) {
      if (l.name == name) return &l;
    }
    return nullptr;
  }
};

TEST_F(RatesReportTest, ByDomain) {
  fill();
  const RatesTable t = table(Grouping::domain);
  EXPECT_EQ(t.total.cell.sent(), 100u);
  EXPECT_EQ(t.total.cell.delivered, 95u);
  EXPECT_DOUBLE_EQ(t.total.bounce_percent, 5.0);
  EXPECT_EQ(t.total.warning, "bounces >= 5 %");
  const RatesLine* a = line(t, "a.example");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->cell.sent(), 98u);
  EXPECT_EQ(a->cell.hard, 3u);
  EXPECT_EQ(a->warning, "bounces >= 3 %");
  EXPECT_EQ(t.lines.front().name, "a.example") << "most failures first";
}

TEST_F(RatesReportTest, ByCauseOverAllThatWasSent) {
  fill();
  const RatesTable t = table(Grouping::cause);
  ASSERT_EQ(t.lines.size(), 3u);
  EXPECT_EQ(t.lines[0].name, "mailbox.unknown");
  EXPECT_DOUBLE_EQ(t.lines[0].bounce_percent, 3.0);
  EXPECT_FALSE(t.lines[0].advice.empty());
  EXPECT_EQ(t.lines[0].warning, "");
}

TEST_F(RatesReportTest, ByCategoryTellsExpiredFromRefused) {
  fill();
  const RatesTable t = table(Grouping::category);
  ASSERT_NE(line(t, "Bad Mailbox"), nullptr);
  EXPECT_EQ(line(t, "Bad Mailbox")->cell.hard, 3u);
  ASSERT_NE(line(t, "Temporary Network Error"), nullptr);
  EXPECT_EQ(line(t, "Temporary Network Error")->cell.expired, 1u);
  EXPECT_EQ(line(t, "Temporary Network Error")->cell.failed(), 1u);
  ASSERT_NE(line(t, "Mailbox Full"), nullptr);
}

TEST_F(RatesReportTest, ByHourInTimeOrder) {
  fill();
  const RatesTable t = table(Grouping::hour);
  ASSERT_EQ(t.lines.size(), 2u);
  EXPECT_EQ(t.lines[0].name, format_time(at(1)));
  EXPECT_EQ(t.lines[0].cell.sent(), 98u);
  EXPECT_EQ(t.lines[1].cell.failed(), 2u);
}

TEST_F(RatesReportTest, TimesLimitTheHours) {
  fill();
  RatesQuery query;
  query.by = Grouping::domain;
  query.from_us = at(1.5);
  auto late = rates_table(context(5), query);
  ASSERT_TRUE(late.has_value());
  EXPECT_EQ(late->total.cell.sent(), 2u);
  query.from_us = 0;
  query.to_us = at(1.5);
  auto early = rates_table(context(5), query);
  ASSERT_TRUE(early.has_value());
  EXPECT_EQ(early->total.cell.sent(), 98u);
}

TEST_F(RatesReportTest, TheRestGoesToOther) {
  fill();
  const RatesTable t = table(Grouping::domain, 1);
  ASSERT_EQ(t.lines.size(), 2u);
  EXPECT_EQ(t.lines[1].name, "other");
  EXPECT_EQ(t.lines[1].cell.failed(), 2u);
}

TEST_F(RatesReportTest, CampaignNamesCannotBeFormulas) {
  fill();
  const RatesTable t = table(Grouping::campaign);
  std::string csv, text, ndjson;
  write_rates(t, Format::csv, [&](std::string_view s) { csv += s; });
  write_rates(t, Format::table, [&](std::string_view s) { text += s; });
  write_rates(t, Format::ndjson, [&](std::string_view s) { ndjson += s; });
  EXPECT_NE(csv.find("campaign,sent,delivered,bounced"), std::string::npos) << csv;
  EXPECT_NE(csv.find("\r\n'=spring,100,95,5,"), std::string::npos) << csv;
  EXPECT_NE(text.find("=spring"), std::string::npos) << text;
  EXPECT_NE(text.find("5.00"), std::string::npos) << text;
  std::istringstream lines(ndjson);
  std::string one;
  int count = 0;
  while (std::getline(lines, one)) {
    simdjson::dom::parser parser;
    ASSERT_EQ(parser.parse(one).error(), simdjson::SUCCESS) << one;
    ++count;
  }
  EXPECT_EQ(count, 2) << "the campaign and the total";
}

TEST_F(RatesReportTest, AnEmptyStoreIsAnEmptyReport) {
  const RatesTable t = table(Grouping::cause);
  EXPECT_TRUE(t.lines.empty());
  EXPECT_EQ(t.total.cell.sent(), 0u);
  EXPECT_EQ(t.total.bounce_percent, 0);
}

TEST(Csv, QuotesAndNeutralises) {
  std::string out;
  append_csv_row(out,
                 {"a", "=1+1", "+2", "-3", "@x", "a,b", "q\"q", " lead", "tab\tin", "", "\tx"});
  EXPECT_EQ(out, "a,'=1+1,'+2,'-3,'@x,\"a,b\",\"q\"\"q\",\" lead\",tab?in,,'?x\r\n");
}

TEST(TextTable, AlignsAndCleans) {
  TextTable table({{"name", TextTable::Align::left}, {"n", TextTable::Align::right}});
  table.add({"\xc3\xa4\xc3\xb6", "1"});
  table.add({"b\x1b", "1,000"});
  std::string out;
  table.write(out);
  EXPECT_EQ(out, "name      n\n\xc3\xa4\xc3\xb6        1\nb?    1,000\n");
}

TEST(Grouping, NamesRoundTrip) {
  for (const char* name :
       {"cause", "category", "domain", "sender", "campaign", "hour", "stream", "tenant", "mta"}) {
    Grouping by;
    ASSERT_TRUE(from_string(name, by)) << name;
    EXPECT_EQ(to_string(by), name);
  }
  Grouping by;
  EXPECT_FALSE(from_string("color", by));
}

}  // namespace
}  // namespace bounced::report
