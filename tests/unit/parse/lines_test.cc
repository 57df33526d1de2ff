// Lines as they lie in files: ends, NULs, limits, forms in one file, origins, counts.
#include <unordered_set>

#include "base/hash.h"
#include "base/time.h"
#include "parse_helper.h"

namespace bounced::parse {
namespace {

const std::string kHeader = "Nov 21 20:45:06 mx1 postfix/smtp[77]: ";
const std::string kText =
    "4jX42p2B4Pz1c0Hc: to=<ann@example.com>, relay=mx.example.com[192.0.2.7]:25, delay=1.2, "
    "delays=0.1/0/0.6/0.5, dsn=5.1.1, status=bounced (host mx.example.com[192.0.2.7] said: "
    "550 5.1.1 no such user (in reply to RCPT TO command))";

TEST(Lines, EndsOfLinesAndFiles) {
  for (const char* end : {"\n", "\r\n", "", "\n\n"}) {
    const Parsed parsed(kHeader + kText + end);
    EXPECT_EQ(parsed.view(parsed.only().diagnostic), "550 5.1.1 no such user") << end;
    EXPECT_EQ(parsed.batch.counts.lines, std::string_view(end) == "\n\n" ? 2u : 1u);
  }
  const Parsed empty("");
  EXPECT_EQ(empty.batch.counts.lines, 0u);
  const Parsed bom("\xEF\xBB\xBF" + kHeader + kText + "\n");
  EXPECT_EQ(bom.only().kind, EventKind::bounced);
}

TEST(Lines, NulRunsBeforeALineAreSkipped) {
  for (const std::size_t nuls : {std::size_t{5000}, limits::kLineBytesMax + 5000}) {
    const Parsed parsed(std::string(nuls, '\0') + kHeader + kText + "\n" + std::string(70, '\0'));
    EXPECT_EQ(parsed.only().smtp_code, 550);
    EXPECT_EQ(parsed.only().offset, nuls) << "as when a block begins behind them";
    EXPECT_EQ(parsed.batch.counts.foreign, 1u);
    EXPECT_EQ(parsed.batch.counts.oversize, 0u);
  }
}

/// A program that logs what strangers tell it may log a whole delivery line.
TEST(Lines, AnotherProgramsWordsAreNotBelieved) {
  for (const char* const tag : {"app[7]: ", "php-fpm: ", "smtp[7]: ", "sshd[7]: "}) {
    const Parsed parsed("Nov 21 20:45:06 mx1 " + std::string(tag) + kText + "\n");
    EXPECT_EQ(parsed.batch.events.size(), 0u) << tag;
    EXPECT_EQ(parsed.batch.counts.foreign, 1u) << tag;
  }
  // Only where the header holds no more than the program's name may it be an instance of Postfix.
  const Parsed nameless("<22>1 2026-11-21T20:45:06Z mx1 out7 9 - - " + kText + "\n");
  EXPECT_EQ(nameless.only().kind, EventKind::bounced);
  const Parsed cut("Nov 21 20:45:06 mx1 postfix-out[7]: " + kText + "\n");
  EXPECT_EQ(cut.only().kind, EventKind::bounced);
}

TEST(Lines, BadBytesSurvive) {
  std::string text = kText;
  text.replace(text.find("such"), 4, std::string("\xff\0\xc3\x28", 4));
  const Parsed parsed(kHeader + text + "\n");
  EXPECT_EQ(parsed.view(parsed.only().diagnostic),
            std::string("550 5.1.1 no \xff\0\xc3\x28 user", 22));
  const Parsed json(
      "{\"timestamp\":\"2026-11-21T20:45:06Z\",\"host\":\"mx1\",\"tag\":\"postfix/smtp[7]:\","
      "\"message\":\" " +
      std::string(kText).replace(kText.find("such"), 4, "\xff\xc3!") + "\"}\n");
  EXPECT_EQ(json.view(json.only().diagnostic), "550 5.1.1 no ?\?! user");
}

TEST(Lines, OversizeLineIsParsedByItsPrefix) {
  std::string text = kText;
  text.replace(text.find("such"), 4, std::string(limits::kLineBytesMax, 'x'));
  const Parsed parsed(kHeader + text + "\n" + kHeader + kText + "\n");
  ASSERT_EQ(parsed.batch.events.size(), 2u);
  EXPECT_EQ(parsed.batch.counts.oversize, 1u);
  EXPECT_TRUE(parsed.batch.events[0].has(EventFlags::kTruncated));
  EXPECT_EQ(parsed.batch.events[0].smtp_code, 550);
  EXPECT_FALSE(parsed.batch.events[1].has(EventFlags::kTruncated));
}

TEST(Lines, OffsetsAndIdsAreThoseOfTheStream) {
  const std::string line = kHeader + kText + "\n";
  const Parsed both(line + line, {}, 0, 1000);
  ASSERT_EQ(both.batch.events.size(), 2u);
  EXPECT_EQ(both.batch.events[0].offset, 1000u);
  EXPECT_EQ(both.batch.events[1].offset, 1000u + line.size());
  EXPECT_NE(both.batch.events[0].id, both.batch.events[1].id);
  const Parsed second(line, {}, 0, 1000 + line.size());
  EXPECT_EQ(second.only().id, both.batch.events[1].id) << "ids do not depend on the cut";
  EXPECT_EQ(second.only().queue_key, both.batch.events[0].queue_key);
}

TEST(Lines, RecipientKeysAreThoseOfTheAddress) {
  const AddressHasher hasher;
  AddressId id;
  AddressId domain;
  ASSERT_TRUE(hasher.ids("ANN@Example.COM", id, domain));
  const Parsed parsed(kHeader + kText + "\n");
  EXPECT_EQ(parsed.only().recipient_id, id);
  EXPECT_EQ(parsed.only().domain_id, domain);
}

TEST(Lines, OriginsAreByHostAndInstance) {
  std::string text;
  for (const char* tag : {"mx1 postfix/smtp", "mx1 postfix/qmgr", "mx1 postfix-out/smtp",
                          "mx2 postfix/smtp", "mx1 postfix/soft/smtp"}) {
    text += "Nov 21 20:45:06 " + std::string(tag) + "[1]: " + kText + "\n";
  }
  const Parsed parsed(text);
  ASSERT_EQ(parsed.batch.events.size(), 5u);
  EXPECT_EQ(parsed.batch.origins.size(), 4u);
  const auto& events = parsed.batch.events;
  EXPECT_EQ(events[0].queue_key, events[1].queue_key);
  EXPECT_NE(events[0].queue_key, events[2].queue_key);
  EXPECT_NE(events[0].queue_key, events[3].queue_key);
  EXPECT_EQ(events[0].queue_key, events[4].queue_key) << "a service shares its instance's queue";
  const Origin& soft = *parsed.batch.origin(events[4].origin);
  EXPECT_EQ(parsed.view(soft.host), "mx1");
  EXPECT_EQ(parsed.view(soft.instance), "postfix/soft");
}

TEST(Lines, ManyHostsInOneBlock) {
  std::string text;
  for (int i = 0; i < 70'000; ++i) {
    text +=
        "Nov 21 20:45:06 h" + std::to_string(i) + " postfix/qmgr[1]: 4jX42p2B4Pz1c0Hc: removed\n";
  }
  const Parsed parsed(text);
  ASSERT_EQ(parsed.batch.notes.size(), 70'000u);
  std::unordered_set<std::uint64_t> keys;
  for (const Note& note : parsed.batch.notes) keys.insert(note.queue_key);
  EXPECT_EQ(keys.size(), 70'000u) << "queue keys stay apart where origins run out";
  EXPECT_LE(parsed.batch.origins.size(), 65'535u);
}

TEST(Lines, UnknownFormatCountsForeign) {
  const Parsed parsed("hello\nworld\n\n", {}, -1);
  EXPECT_EQ(parsed.batch.block->format, -1);
  EXPECT_EQ(parsed.batch.counts.lines, 3u);
  EXPECT_EQ(parsed.batch.counts.foreign, 3u);
}

TEST(Formats, ProbeAndFind) {
  EXPECT_EQ(find_format("postfix"), probe_format(kHeader + kText + "\n"));
  EXPECT_EQ(probe_format("2026-11-21 20:45:06 1x-2y-3z => a@b\n"), -1) << "no message id";
  EXPECT_EQ(probe_format(""), -1);
  EXPECT_EQ(find_format("nonsense"), -1);
  EXPECT_LT(formats()[0].probe("Nov 21 20:45:06 mx1 sshd[1]: hello\n"), 50);
  EXPECT_GT(formats()[0].probe("Nov 21 20:45:06 mx1 postfix/qmgr[1]: hello\n"), 90);
}

TEST(Explain, FieldsInTheOrderOfTheLine) {
  const auto fields = explain_line({}, kHeader + kText + "\n", 0);
  std::string text;
  for (const Field& field : fields) text += field.name + "=" + field.value + "\n";
  EXPECT_EQ(text,
            "time=Nov 21 20:45:06\nhost=mx1\ninstance=postfix\ndaemon=smtp\npid=77\n"
            "queue_id=4jX42p2B4Pz1c0Hc\nto=ann@example.com\nrelay=mx.example.com[192.0.2.7]:25\n"
            "delay=1.2\ndelays=0.1/0/0.6/0.5\ndsn=5.1.1\nstatus=bounced\n"
            "reason=host mx.example.com[192.0.2.7] said: 550 5.1.1 no such user (in reply to RCPT "
            "TO command)\n");
}

TEST(Explain, OtherLines) {
  const auto names = [](std::string_view line) {
    std::string text;
    for (const Field& field : explain_line({}, line, -1)) text += field.name + " ";
    return text;
  };
  EXPECT_EQ(names("Nov 21 20:45:06 mx1 postfix/qmgr[7]: 4jX42p2B4Pz1c0Hc: from=<>, size=1, nrcpt=2 "
                  "(queue active)"),
            "time host instance daemon pid queue_id from nrcpt ");
  EXPECT_EQ(names("nothing we know"), "");
  EXPECT_EQ(names("Nov 21 20:45:06 mx1 postfix/smtpd[7]: connect from x[192.0.2.1]"),
            "time host instance daemon pid text ");
}

TEST(Relays, ConfiguredHostsAndNetworks) {
  Context context;
  context.smarthosts.names = {"out.example.net"};
  context.relays.networks = {"192.0.2.0/29", "2001:db8::/32", "nonsense", "10.0.0.0/99"};
  const auto kind = [&](const std::string& relay, const char* daemon = "smtp") {
    const Parsed parsed("Nov 21 20:45:06 mx1 postfix/" + std::string(daemon) +
                            "[7]: 4jX42p2B4Pz1c0Hc: to=<a@b.example>, relay=" + relay +
                            ", delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)\n",
                        context);
    return parsed.only().kind;
  };
  EXPECT_EQ(kind("a.out.example.net[203.0.113.1]:25"), EventKind::relayed);
  EXPECT_EQ(kind("aout.example.net[203.0.113.1]:25"), EventKind::delivered);
  EXPECT_EQ(kind("x.example[192.0.2.7]:25"), EventKind::relayed);
  EXPECT_EQ(kind("x.example[192.0.2.8]:25"), EventKind::delivered);
  EXPECT_EQ(kind("x.example[2001:db8:1::2]:25"), EventKind::relayed);
  EXPECT_EQ(kind("x.example[2001:db9:1::2]:25"), EventKind::delivered);
  EXPECT_EQ(kind("127.9.9.9[127.9.9.9]:10024"), EventKind::relayed);
  EXPECT_EQ(kind("127.0.0.1[127.0.0.1]:24", "lmtp"), EventKind::delivered);
  EXPECT_EQ(kind("x.example[192.0.2.7]:24", "lmtp"), EventKind::relayed);
}

TEST(Relays, FailuresSayWhetherTheHostOnlyPassesMailOn) {
  Context context;
  context.smarthosts.names = {"out.example.net"};
  const auto relay = [&](const std::string& host, const std::string& reason, bool configured) {
    const Parsed parsed(
        "Nov 21 20:45:06 mx1 postfix/smtp[7]: 4jX42p2B4Pz1c0Hc: to=<a@b.example>, "
        "relay=" +
            host + ", delay=1, delays=0/0/0/1, dsn=4.4.1, status=deferred (" + reason + ")\n",
        configured ? context : Context{});
    return parsed.only().has(EventFlags::kRelay);
  };
  const auto said = [](const std::string& host) {
    return "host " + host + " said: 450 4.4.1 later (in reply to RCPT TO command)";
  };
  for (const bool configured : {false, true}) {
    for (const std::string host : {"smtp.sendgrid.net[192.0.2.7]", "127.0.0.1[127.0.0.1]"}) {
      EXPECT_TRUE(relay(host + ":25", said(host), configured)) << host;
      EXPECT_TRUE(relay("none", "connect to " + host + ":25: Connection refused", configured));
    }
    EXPECT_TRUE(relay("x.example[192.0.2.7]:587", said("x.example[192.0.2.7]"), configured));
    EXPECT_FALSE(relay("x.example[192.0.2.7]:25", said("x.example[192.0.2.7]"), configured));
    EXPECT_FALSE(relay("none", "connect to x.example[192.0.2.7]:25: timed out", configured));
    const std::string ours = "a.out.example.net[192.0.2.7]";
    EXPECT_EQ(relay(ours + ":25", said(ours), configured), configured);
    EXPECT_EQ(relay("none", "connect to " + ours + ":25: timed out", configured), configured);
  }
}

TEST(Campaign, HeaderNameIsConfigured) {
  Context context;
  context.campaign_header = "X-Mailing";
  const Parsed parsed(
      "Nov 21 20:45:06 mx1 postfix/cleanup[7]: 4jX42p2B4Pz1c0Hc: info: header x-mailing: May 2026 "
      "from app[10.9.0.1]; from=<a@b.example> to=<c@d.example> proto=ESMTP helo=<h>\n"
      "Nov 21 20:45:06 mx1 postfix/cleanup[7]: 4jX42p2B4Pz1c0Hc: info: header X-Campaign: no "
      "from local; from=<a@b.example> to=<c@d.example>\n",
      context);
  ASSERT_EQ(parsed.batch.notes.size(), 1u);
  EXPECT_EQ(parsed.batch.notes[0].kind, NoteKind::campaign);
  EXPECT_EQ(parsed.view(parsed.batch.notes[0].text), "May 2026");
}

}  // namespace
}  // namespace bounced::parse
