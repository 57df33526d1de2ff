// Lines in their usual shape take a short way; a carriage return at the end sends the same line the
// long way. Both must tell the same, whatever the addresses and hosts look like.
#include <random>

#include "told.h"

namespace bounced::parse {
namespace {

const std::string kHeader = "Nov 21 20:45:06 mx1 postfix/";
const std::string kQueueId = "[77]: 4jX42p2B4Pz1c0Hc: ";

void expect_same(const std::string& line) {
  // The first line makes its header known.
  const std::string first = kHeader + "smtp[77]: remark\n" + kHeader + "qmgr[77]: remark\n";
  const Parsed usual(first + line + "\n");
  const Parsed tail(first + line + "\nto=<a@b>, relay=x[1.2.3.4]:25, [>]@,, ");
  const Parsed long_way(first + line + "\r\n");
  EXPECT_EQ(told(usual), told(long_way)) << line;
  EXPECT_EQ(told(tail), told(long_way)) << line;
}

std::string delivery(const std::string& to, const std::string& relay,
                     const std::string& delay = "1.2", const std::string& dsn = "5.1.1") {
  return kHeader + "smtp" + kQueueId + "to=<" + to + ">, relay=" + relay + ", delay=" + delay +
         ", delays=0.1/0/0.6/0.5, dsn=" + dsn + ", status=bounced (host x said: 550 no)";
}

std::string begin(const std::string& from) {
  return kHeader + "qmgr" + kQueueId + "from=<" + from + ">, size=69459, nrcpt=12 (queue active)";
}

TEST(Usual, AddressesOfEveryKind) {
  for (const char* address :
       {"", "a", "@", "a@", "@b", "a@b", "a@b.", "a@b@c", "a@b@", "a@b@.", "A@b", "a@B.Example",
        "a@b\xC3\xBC.example", "\"a b\"@c", "\"a>b\"@c", "a>b@c", "a, b@c", "a@b>, relay=c"}) {
    expect_same(delivery(address, "mx.example[192.0.2.1]:25"));
    expect_same(begin(address));
  }
}

TEST(Usual, SizesOfEveryKind) {
  for (std::size_t size = 1; size < 140; ++size) {
    const std::string name(size, 'x');
    expect_same(delivery(name + "@b.example", "mx.example[192.0.2.1]:25"));
    expect_same(delivery("a@" + name, "mx.example[192.0.2.1]:25"));
    expect_same(delivery("a@b.example", name + "[192.0.2.1]:25"));
    expect_same(delivery("a@b.example", name));
    expect_same(delivery("a@b.example", "mx.example[" + name + "]:25"));
    expect_same(begin(name + "@b.example"));
    expect_same(begin("a@" + name));
  }
}

TEST(Usual, NumbersOfEveryKind) {
  const std::string to = "a@b.example", relay = "mx.example[192.0.2.1]:25";
  for (const char* delay :
       {"",           "0",     "7",  "12",  "12.3",  "1.23",   "0.123",     "123.45",
        "0.1234",     ".5",    "5.", ".",   "1.2.3", "123456", "1234567",   "12345.6",
        "4294967296", "1e+05", "-1", "1,5", "x",     "1 2",    "conn_use=2"}) {
    expect_same(delivery(to, relay, delay));
  }
  for (const char* dsn : {"", "2.0.0", "4.7.650", "5.10.1", "5.7.1234", "3.1.1", "5.1", "5.1.1.1",
                          "55.1.1", "5.1.x", "5-1-1", "5.1.", "x", "5.1.1, key=value"}) {
    expect_same(delivery(to, relay, "1.2", dsn));
  }
  expect_same(delivery(to, relay + ", conn_use=2"));
  expect_same(delivery(to, relay + ", conn_use=2, conn_use=3"));
}

TEST(Usual, HostsThatOnlyPassMailOn) {
  for (const char* daemon : {"smtp", "lmtp", "local", "pipe", "error", "discard", "relay/smtp"}) {
    for (const char* relay :
         {"mx.example[192.0.2.1]:25", "mx.example[127.0.0.1]:25", "mx.example[127.0]:25",
          "mx.example[1270::1]:25", "mx.example[::1]:25", "mx.example[::2]:25",
          "localhost[192.0.2.1]:25", "LocalHost[192.0.2.1]:25", "localhosts[192.0.2.1]:25",
          "smtp.gmail.com[192.0.2.1]:25", "SMTP.Gmail.com[192.0.2.1]:25",
          "email-smtp.eu-west-1.amazonaws.com[192.0.2.1]:25", "[192.0.2.1]:25", "mx[192.0.2.1]:24",
          "mx[192.0.2.1]:587", "mx[private/lmtp]", "none", "local", "mx[]:25"}) {
      for (const char* said :
           {"250 ok", "250", "250-ok", "250", "25", "2", "", "251 2.1.5 ok", "250x", "150 ok",
            "sent", "forwarded as 4jX42p2B4Pz1c0Hd", "delivered to file: /dev/null", ")"}) {
        expect_same(kHeader + daemon + kQueueId + "to=<a@b.example>, relay=" + relay +
                    ", delay=1.2, delays=0.1/0/0.6/0.5, dsn=2.0.0, status=sent (" + said + ")");
      }
    }
  }
}

/// Lines that differ from others only in the carriage returns at their ends.
std::string with_returns(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') out += '\r';
    out += c;
  }
  return out;
}

TEST(Usual, HeadsOfEveryKind) {
  const std::string text =
      "4jX42p2B4Pz1c0Hc: to=<a@b.example>, relay=mx[192.0.2.1]:25, delay=1, "
      "delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)";
  const auto queue_ids = [](const std::string& lines) {
    const Parsed parsed(lines);
    std::string ids;
    for (const Event& e : parsed.batch.events) {
      ids +=
          fmt::format("{} {} {:x} {}\n", e.time_us, e.origin, e.queue_key, parsed.view(e.queue_id));
    }
    return ids + fmt::format("{} {} {}", parsed.batch.counts.foreign, parsed.batch.counts.unparsed,
                             parsed.batch.counts.ignored);
  };
  for (std::size_t size = 0; size < 60; ++size) {
    const std::string host(size, 'h'), other = host.substr(0, size / 2) + "x" + host;
    std::string lines;
    for (int i = 0; i < 3; ++i) {
      for (const std::string& name : {host, other, other.substr(1), host + "y"}) {
        for (const char* tag : {"postfix/smtp", "a/smtp", "postfix/qmgr"}) {
          for (const char* front : {"", " ", "  ", "[ID 197553 mail.info] ", "[x"}) {
            lines += "Nov 21 20:45:06 " + name + " " + tag + "[77]: " + front + text + "\n";
          }
        }
        lines += "Nov 21 20:45:06 " + name + "[7]: " + text + "\n";
        lines += "Nov 21 20:45:06 [7]: " + text + "\n";
        lines += "Nov 21 20:45:06 " + name + " postfix/smtp[7\n7]: " + text + "\n";
        lines += "Nov 21 20:45:06 " + name + " postfix/smtp[77]:\n";
        lines += "Nov 21 20:45:06 " + name + " postfix/smtp[77]: \n";
      }
    }
    EXPECT_EQ(queue_ids(lines), queue_ids(with_returns(lines))) << size;
  }
}

TEST(Usual, DamagedLines) {
  std::mt19937_64 random(5);
  const std::string lines[] = {delivery("ann@b.example", "mx.example[192.0.2.1]:25"),
                               begin("news@c.example")};
  constexpr std::string_view kBytes = ">,[]@ :=()\"x.1\xFF";
  for (int i = 0; i < 20'000; ++i) {
    std::string line = lines[i % 2];
    for (std::size_t n = random() % 3 + 1; n-- > 0;) {
      const std::size_t at = kHeader.size() + random() % (line.size() - kHeader.size());
      if (random() % 2 == 0) {
        line[at] = kBytes[random() % kBytes.size()];
      } else {
        line.erase(at, random() % 5);
      }
      if (line.size() <= kHeader.size() + 8) break;
    }
    expect_same(line);
  }
}

TEST(Usual, DomainsAreKnownInAnyCase) {
  const auto key = [](const std::string& from) {
    const Parsed parsed(kHeader + "qmgr[77]: remark\n" + begin(from) + "\n");
    return parsed.batch.notes.at(0).text_key;
  };
  for (std::size_t size = 1; size < 100; ++size) {
    const std::string low(size, 'x'), high(size, 'X');
    EXPECT_EQ(key("a@" + low), key("other.b@" + high)) << size;
    EXPECT_EQ(key("a@" + low), domain_key("A@" + high)) << size;
    EXPECT_NE(key("a@" + low), key("a@x" + low)) << size;
    EXPECT_NE(key("a@" + low), key("a@y" + low.substr(1))) << size;
  }
  EXPECT_EQ(key("nobody"), 0u);
}

}  // namespace
}  // namespace bounced::parse
