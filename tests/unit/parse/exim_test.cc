// What golden files of Exim's lines cannot show: probing, taking lines apart, blocks that end
// early.
#include "parse/exim.h"

#include <fmt/format.h>

#include <map>

#include "parse_helper.h"

namespace bounced::parse {
namespace {

const std::string kLine =
    "2026-11-21 21:07:01 1xUsIV-0000P2-2l ** a@example.com R=dnslookup T=remote_smtp H=mx.example "
    "[192.0.2.3]: SMTP error from remote mail server after RCPT TO:<a@example.com>: 550 5.1.1 no";

TEST(Exim, ProbeKnowsItBySingleLinesAndLeavesOthersAlone) {
  const int exim = find_format("exim");
  EXPECT_EQ(probe_format(kLine + "\n"), exim);
  EXPECT_EQ(probe_format("Nov 21 21:07:01 mx1 exim[12]: " + kLine + "\n"), exim);
  EXPECT_EQ(probe_format("2026-11-21 21:07:01 Start queue run: pid=1\n"), exim);
  EXPECT_EQ(probe_format("2026-11-21 21:07:01.123 +0100 [77] " + kLine.substr(20) + "\n"), exim);
  EXPECT_NE(probe_format("2026-11-21 21:07:01 some other program's line\n"), exim);
  EXPECT_NE(probe_format("Nov 21 21:07:01 mx1 postfix/qmgr[12]: 4jX3zt26H4z1c0B9: removed\n"),
            exim);
}

TEST(Exim, ExplainTakesALineApart) {
  std::map<std::string, std::string> fields;
  for (const Field& field : explain_line({}, kLine, -1)) fields[field.name] = field.value;
  EXPECT_EQ(fields["queue_id"], "1xUsIV-0000P2-2l");
  EXPECT_EQ(fields["recipient"], "a@example.com");
  EXPECT_EQ(fields["host"], "mx.example");
  EXPECT_EQ(fields["phase"], "rcpt");
  EXPECT_EQ(fields["smtp_code"], "550");
  EXPECT_EQ(fields["reason"], "550 5.1.1 no");
}

TEST(Exim, TraceReadsHeadsOfBothKinds) {
  const auto own = read_line_head(kLine);
  ASSERT_TRUE(own);
  EXPECT_EQ(own->queue_id, "1xUsIV-0000P2-2l");
  EXPECT_EQ(own->queue, "exim");
  EXPECT_EQ(own->text.substr(0, 5), "** a@");
  const auto syslog = read_line_head("Nov 21 21:07:01 mx1 exim4[12]: " + kLine);
  ASSERT_TRUE(syslog);
  EXPECT_EQ(syslog->queue_id, "1xUsIV-0000P2-2l");
  EXPECT_EQ(syslog->host, "mx1");
  EXPECT_EQ(syslog->time_us, own->time_us);
  EXPECT_TRUE(is_queue_id("1xUsIV-0000P2-2l"));
  EXPECT_TRUE(is_queue_id("1xUsIV-000000000P2-002l"));
  EXPECT_FALSE(is_queue_id("1xUsIV-0000P2-2"));
}

/// A record in pieces of `size` bytes, as syslog has them.
std::vector<std::string> pieces_of(const std::string& record, std::size_t size) {
  const std::size_t count = (record.size() + size - 1) / size;
  std::vector<std::string> out;
  for (std::size_t i = 0; i < count; ++i) {
    out.push_back(fmt::format("Nov 21 21:07:01 mx1 exim[12]: [{}/{}] {}\n", i + 1, count,
                              record.substr(i * size, size)));
  }
  return out;
}

TEST(Exim, ASplitRecordIsOneEventWhereverTheBlockIsCut) {
  const std::string record = kLine + std::string(900, 'x') + ": retry timeout exceeded";
  const auto pieces = pieces_of(record, 400);
  ASSERT_EQ(pieces.size(), 3u);
  const Parsed whole(pieces[0] + pieces[1] + pieces[2], {}, find_format("exim"));
  EXPECT_EQ(whole.only().kind, EventKind::expired);
  EXPECT_FALSE(whole.only().has(EventFlags::kTruncated));
  EXPECT_EQ(whole.view(whole.only().diagnostic), "550 5.1.1 no" + std::string(900, 'x'));
  EXPECT_EQ(whole.batch.counts.ignored, 2u);
  const Parsed first(pieces[0] + pieces[1], {}, find_format("exim"));
  EXPECT_TRUE(first.only().has(EventFlags::kTruncated));
  EXPECT_EQ(first.only().recipient_id, whole.only().recipient_id);
  EXPECT_EQ(first.only().id, whole.only().id);
  const Parsed rest(pieces[2], {}, find_format("exim"));
  EXPECT_TRUE(rest.batch.events.empty());
  EXPECT_EQ(rest.batch.counts.ignored, 1u);
}

TEST(Exim, HostileLinesCostNoMoreThanTheirSize) {
  // Each of these would take minutes if a search began anew at every byte.
  std::string angles = "2026-11-21 21:07:01 1xUsIV-0000P2-2l ** |";
  std::string quotes = "2026-11-21 21:07:01 1xUsIV-0000P2-2l => ";
  std::string split;
  for (int i = 0; i < 20'000; ++i) {
    angles += " <@";
    quotes += " <\"";
    split += "Nov 21 21:07:01 mx1 exim[12]: [1/3] x\n";
  }
  const Parsed parsed(angles + "\n" + quotes + "\n" + split, {}, find_format("exim"));
  EXPECT_EQ(parsed.batch.counts.lines, 20'002u);
}

}  // namespace
}  // namespace bounced::parse
