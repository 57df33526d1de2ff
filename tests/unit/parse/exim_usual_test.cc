// Exim's lines in their usual shape take a short way; a carriage return at the end sends the same
// line the long way. Both must tell the same, whatever is written into them.
#include <filesystem>
#include <random>
#include <sstream>
#include <thread>

#include "parse/exim_usual.h"
#include "told.h"

namespace bounced::parse {
namespace {

const std::string kHead = "2026-11-21 20:57:24 1vMB6i-0004nP-7b ";
const std::string kNewHead = "2026-11-21 20:57:24 1vMB6i-0000000004nP-7bXy ";
const std::string kTls = "X=TLS1.3:ECDHE_X25519__RSA_PSS_RSAE_SHA256__AES_256_GCM:256 CV=yes ";
/// Makes stamp, route and TLS known, for the lines that follow.
const std::string kFirst = kHead + "=> b@c.example R=dnslookup T=remote_smtp H=mx.c.example " +
                           "[192.0.2.9] " + kTls + "C=\"250 2.0.0 Ok\"\n";

void expect_same(const std::string& line) {
  const int format = find_format("exim");
  const Parsed usual(kFirst + line + "\n", {}, format);
  const Parsed tail(kFirst + line + "\n" + kHead + "=> a@b R=x T=\"y\" H=[>]@,, ", {}, format);
  const Parsed long_way(kFirst + line + "\r\n", {}, format);
  EXPECT_EQ(told(usual), told(long_way)) << line;
  const Parsed cold(line + "\n", {}, format), cold_long(line + "\r\n", {}, format);
  EXPECT_EQ(told(cold), told(cold_long)) << line;
  // Of what follows, too, only the place differs.
  ASSERT_GE(tail.batch.events.size() + tail.batch.notes.size() + tail.batch.counts.unparsed,
            usual.batch.events.size() + usual.batch.notes.size());
  for (std::size_t i = 0; i < usual.batch.events.size(); ++i) {
    EXPECT_EQ(tail.view(tail.batch.events[i].diagnostic),
              usual.view(usual.batch.events[i].diagnostic))
        << line;
  }
}

std::string sent(const std::string& to, const std::string& host = "H=mx.b.example [192.0.2.1] ",
                 const std::string& more = kTls,
                 const std::string& said = "C=\"250 2.0.0 Ok: queued as 7FC51441FDE\"") {
  return kHead + "=> " + to + " R=dnslookup T=remote_smtp " + host + more + said;
}

std::string failed(const std::string& to, const std::string& flag = "** ",
                   const std::string& more = "", const std::string& host = "H=mx [192.0.2.1]",
                   const std::string& text =
                       "SMTP error from remote mail server after RCPT TO:<x@y>: 550 5.1.1 No") {
  return kNewHead + flag + to + " R=dnslookup T=remote_smtp " + more + host + ": " + text;
}

std::string received(const std::string& from, const std::string& more) {
  return kHead + "<= " + from + " H=app.example (app) [10.9.0.8] P=esmtpsa " + more + " S=4775";
}

/// Whether the line, without its stamp and flag, takes the short way.
bool is_usual(const std::string& line, EximHabits& habits) {
  const std::string padded = line.substr(kHead.size() + 3) + "\n" + std::string(64, '~');
  const char* const p = padded.data();
  const char* const end = p + padded.size() - 65;
  const char* at = nullptr;
  EximReceived received;
  EximDelivery delivery;
  const bool usual = line.find(" <= ") != std::string::npos
                         ? read_usual_received(p, end, received, at)
                         : read_usual_exim_delivery(p, end, habits, delivery, at);
  habits = {};  // of bytes that go
  return usual;
}

TEST(EximUsual, UsualLinesTakeTheShortWay) {
  EximHabits habits;
  EXPECT_TRUE(is_usual(sent("ann@b.example"), habits));
  EXPECT_TRUE(is_usual(sent("Ann@b.example", "H=mx [2001:db8::1]:25* ", "K "), habits));
  EXPECT_TRUE(is_usual(sent("ann@b.example", "QT=3s F=<x@y> P=<x@y> I=[10.0.0.1] "), habits));
  const std::string text = kHead + "** ann@b.example R=a T=b H=mx [192.0.2.1]: 550 \"no\" <x@y>";
  EXPECT_TRUE(is_usual(text, habits));
  EXPECT_TRUE(is_usual(received("news@c.example", "A=plain:c id=x@y"), habits));
  EXPECT_FALSE(is_usual(sent("\"a b\"@c.example"), habits));
  EXPECT_FALSE(is_usual(sent("ann@b.example", "H=[192.0.2.1] "), habits));
  EXPECT_FALSE(is_usual(text + " <\"ann\"@b.example>", habits));
}

TEST(EximUsual, AddressesOfEveryKind) {
  for (const char* address : {"",
                              "a",
                              "@",
                              "a@",
                              "@b",
                              "a@b",
                              "a@b.",
                              "a@b@c",
                              "a@b@",
                              "a@b@.",
                              "A@b",
                              "a@B.Example",
                              "a@b\xC3\xBC.example",
                              "\xC3\xBC@b.example",
                              "\"a b\"@c",
                              "\"a>b\"@c",
                              "a>b@c",
                              "a\"b@c",
                              "a|b@c",
                              "a/b@c",
                              "|/bin/x",
                              "|a@b",
                              "/var/mail/a@b",
                              "/dev/null",
                              ":blackhole:",
                              ":blackhole: <a@b.example>",
                              ">a@b",
                              "a:b@c",
                              ":a@b",
                              "a@b:",
                              "a@b (c@d)",
                              "a@b <c@d>",
                              "a@b <\"c d\"@e>",
                              "a b@c <\"a b\"@c>",
                              "save a@b",
                              "a<b@c",
                              "<a@b>",
                              "a@b  "}) {
    expect_same(sent(address));
    expect_same(failed(address));
    expect_same(failed(address, "== ", "defer (-44) "));
    expect_same(received(address, "id=x@y"));
  }
}

TEST(EximUsual, SizesOfEveryKind) {
  for (std::size_t size = 1; size < 140; ++size) {
    const std::string name(size, 'x');
    expect_same(sent(name + "@b.example"));
    expect_same(sent("a@" + name));
    expect_same(sent("a@b.example", "H=" + name + " [192.0.2.1] "));
    expect_same(sent("a@b.example", "H=mx [" + name + "] "));
    expect_same(sent("a@b.example", "H=mx [192.0.2.1] ", "X=" + name + " "));
    expect_same(sent("a@b.example", "H=mx [192.0.2.1] ", "", "C=\"" + name + "\""));
    expect_same(failed("a@b.example", "** ", "", "H=mx [192.0.2.1]", name));
    expect_same(received(name + "@b.example", "id=x@y"));
    expect_same(received("a@" + name, "A=plain:" + name + " id=" + name));
  }
}

TEST(EximUsual, FieldsOfEveryKind) {
  for (const char* field : {"K ",
                            "S=12 ",
                            "QT=1d2h3s ",
                            "DT=0.5s ",
                            "F=<a@b> ",
                            "F=<> ",
                            "F=<\"a b\"@c> ",
                            "P=<a@b> ",
                            "I=[10.0.0.1]:25 ",
                            "I=[10.0.0.1] ",
                            "CV=no ",
                            "CV=no: ",
                            "X=a ",
                            "X=a: b",
                            "X=<a b> ",
                            "X=\"a b\" ",
                            "X=<a ",
                            "X=a CV=\"b\" ",
                            "DN=\"CN=a, C=\\\"b\" ",
                            "PRX=[1.2.3.4] ",
                            "L ",
                            "R=smarthost ",
                            "T=lmtp ",
                            "R=other T=remote_lmtp ",
                            "T=\"x y\" ",
                            "C=x ",
                            "C=\"x ",
                            "C=\"a <\" ",
                            "C=\"a\\\"b\" ",
                            "C=\"550-5.1.1 no\" ",
                            "H=b [::1] ",
                            "H=b ",
                            "H=[1.2.3.4] ",
                            ": ",
                            ":",
                            " : x",
                            "x: y ",
                            "defer (111): Connection refused ",
                            "defer (0) ",
                            "defer (-54): x <\"y\" ",
                            "<\"a\"> ",
                            "<a> ",
                            "  ",
                            "Q",
                            "K"}) {
    for (const char* host : {"H=mx.b [192.0.2.1] ", "H=mx [192.0.2.1]* ", "H=mx [192.0.2.1]:26 "}) {
      expect_same(sent("a@b.example", host, field));
      expect_same(sent("a@b.example", host, kTls, "C=\"250 ok\" " + std::string(field)));
      expect_same(sent("a@b.example", std::string(field) + host));
      expect_same(failed("a@b.example", "** ", field));
      expect_same(failed("a@b.example", "== ", "defer (-44) ", "H=mx [1.2.3.4] ", field));
      expect_same(received("a@b.example", field));
      expect_same(received("a@b.example", field + std::string("id=x@y")));
    }
  }
}

TEST(EximUsual, HostsThatOnlyPassMailOn) {
  for (const char* host :
       {"H=mx [127.0.0.1] ", "H=mx [127.0.0.1]:10024 ", "H=mx [::1]:25 ", "H=localhost [1.2.3.4] ",
        "H=smtp.gmail.com [1.2.3.4] ", "H=mx [1.2.3.4]:25 ", "H=mx [1.2.3.4]:587 ", "H=mx [] ",
        "H=mx [1.2.3.4]:24 ", "H=mx [1.2.3.4]:70000 ", "H=mx [1.2.3.4]:x ",
        "H=mx (helo) [1.2.3.4] ", "H=mx  [1.2.3.4] ", "H= [1.2.3.4] ", "H=mx [1.2.3.4]x ",
        "H=mx [2001:db8:0:0:0:0:0:1]* "}) {
    for (const char* route : {"R=dnslookup T=remote_smtp", "R=smarthost T=remote_smtp_smarthost",
                              "R=lmtp T=lmtp_delivery", "R=x", "T=x", "R=\"x\" T=y", "R=<x T=y"}) {
      for (const char* said :
           {"C=\"250 ok\"", "C=\"250\"", "C=\"\"", "C=\"25\"", "C=\"250-2.1.5 a\"",
            "C=\"250 2.0.0\"", "C=\"ok\"", "", "K", "C=\"250 2.0.0 a\\nb\""}) {
        expect_same(kHead + "-> a@b.example " + route + " " + host + said);
      }
    }
  }
}

TEST(EximUsual, LinesOfEveryKind) {
  const std::string rest = "a@b.example R=dnslookup T=remote_smtp H=mx [192.0.2.1]: 550 no";
  for (const char* stamp : {"2026-11-21 20:57:24", "2026-11-21 20:57:25", "2026-11-21 20:57:24.437",
                            "2026-11-21 20:57:24 +0200", "2026-11-21 20:57:24 [34]", "x"}) {
    for (const char* id : {"1vMB6i-0004nP-7b", "1vMB6i-0000000004nP-7bXy", "1vMB6i-0004nP-7",
                           "1vMB6i-0004nP-7-", "1vMB6i_0004nP-7b", "1vMB6i-0000000004nP-7bX"}) {
      for (const std::string& text : {"=> " + rest,
                                      "-> " + rest,
                                      ">> " + rest,
                                      "*> " + rest,
                                      "** " + rest,
                                      "== " + rest,
                                      std::string("Completed"),
                                      std::string("Completed QT=5s"),
                                      std::string("Completedx"),
                                      std::string("<= <> R=1vMB6i-0004nP-7b U=mail P=local S=1"),
                                      std::string("<= "),
                                      std::string("<= a@b T=\"id=x\" id=y"),
                                      std::string("<= a@b for c@d id=y"),
                                      std::string("<= a@b from <c@d> id=y"),
                                      std::string("<= a@b A=x:y A=z id="),
                                      std::string("<= a@b A=x:y:z id=<q>"),
                                      std::string("<= a@b DN=\"x id=y\" id=z"),
                                      std::string("(= a@b id=y"),
                                      std::string("Frozen"),
                                      std::string("=>")}) {
        expect_same(std::string(stamp) + " " + id + " " + text);
      }
    }
  }
}

TEST(EximUsual, MessagesOfOneBlock) {
  std::string lines;
  for (int i = 0; i < 40; ++i) {
    const std::string head = fmt::format("2026-11-21 20:57:{:02} 1vMB6i-0004n{:02}-7b ", i, i);
    const std::string user = i % 3 == 0 ? "A=plain:c " : "", id = i % 4 == 0 ? "" : "id=x@y";
    lines += head + "<= a@b.example H=x [10.9.0.8] P=esmtpa " + user + id + "\n";
    if (i % 7 == 6) lines += head + "<= a@b.example H=x [10.9.0.8] P=esmtpa " + id + "\n";
    lines += head + "=> c@d.example R=r T=t H=mx [192.0.2.1] C=\"250 ok\"\n";
    if (i % 5 != 4) lines += head + "Completed\n";
  }
  std::string returns;
  for (const char c : lines) returns += c == '\n' ? "\r\n" : std::string(1, c);
  std::string usual, long_way;
  // A thread of its own has seen no batch before.
  std::thread([&] { usual = told_local(Parsed(lines, {}, find_format("exim"))); }).join();
  std::thread([&] { long_way = told_local(Parsed(returns, {}, find_format("exim"))); }).join();
  EXPECT_EQ(usual, long_way);
  EXPECT_NE(usual.find("joined"), std::string::npos);
}

/// Lines of the golden files, and some of our own.
std::vector<std::string> samples() {
  std::vector<std::string> lines = {sent("ann@b.example"), failed("ann@b.example"),
                                    failed("ann@b.example", "== ", "defer (-44) "),
                                    received("news@c.example", "A=plain:c id=x.1@c.example"),
                                    kHead + "Completed"};
  for (const auto& file :
       std::filesystem::directory_iterator(BOUNCED_SOURCE_DIR "/tests/golden/exim")) {
    if (file.path().extension() != ".log") continue;
    std::istringstream text(read_file(file.path()));
    for (std::string line; std::getline(text, line);) {
      std::erase(line, '\r');  // the mark of the long way
      if (line.size() > 60 && line.size() < 1000) lines.push_back(line);
    }
  }
  return lines;
}

TEST(EximUsual, DamagedLines) {
  std::mt19937_64 random(77);
  const std::vector<std::string> lines = samples();
  ASSERT_GT(lines.size(), 100u);
  constexpr std::string_view kBytes = ">,[]@ :=()\"<x.1\\*\xFF";
  for (const std::string& line : lines) expect_same(line);
  for (std::size_t i = 0; i < 40'000; ++i) {
    // Half of them of the usual ones.
    std::string line = lines[i % 2 == 0 ? i / 2 % 5 : random() % lines.size()];
    const std::size_t front = line.find(' ', 20) == std::string::npos ? 0 : line.find(' ', 20);
    for (std::size_t n = random() % 3 + 1; n-- > 0;) {
      if (line.size() <= front + 8) break;
      const std::size_t at = front + random() % (line.size() - front);
      if (random() % 2 == 0) {
        line[at] = kBytes[random() % kBytes.size()];
      } else {
        line.erase(at, random() % 5);
      }
    }
    expect_same(line);
  }
}

}  // namespace
}  // namespace bounced::parse
