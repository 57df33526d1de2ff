// The batch's short lists of recipient domains and answering hosts.
#include <set>

#include "base/hash.h"
#include "parse/name_slots.h"
#include "parse_helper.h"

namespace bounced::parse {
namespace {

std::string line(std::string_view to, std::string_view relay,
                 std::string_view status = "status=sent (250 ok)") {
  return fmt::format(
      "Nov 21 20:45:06 mx1 postfix/smtp[77]: 4jX42p2B4Pz1c0Hc: to=<{}>, relay={}, delay=1.2, "
      "delays=0.1/0/0.6/0.5, dsn=2.0.0, {}\n",
      to, relay, status);
}

/// What holds for every batch.
void check_lists(const Batch& batch) {
  const AddressHasher hasher;
  std::set<AddressId> ids;
  for (const BatchDomain& domain : batch.domains) {
    EXPECT_TRUE(ids.insert(domain.id).second) << batch.view(domain.text);
    EXPECT_FALSE(domain.text.empty());
  }
  std::set<std::string_view> hosts;
  for (const Text host : batch.hosts) {
    EXPECT_FALSE(host.empty());
    EXPECT_TRUE(hosts.insert(batch.view(host)).second) << batch.view(host);
  }
  for (const Event& event : batch.events) {
    AddressId id, domain;
    ASSERT_TRUE(hasher.ids(batch.view(event.recipient), id, domain));
    EXPECT_EQ(event.recipient_id, id) << batch.view(event.recipient);
    EXPECT_EQ(event.domain_id, domain) << batch.view(event.recipient);
    ASSERT_LE(event.domain, batch.domains.size());
    ASSERT_LE(event.host, batch.hosts.size());
    if (event.domain != 0) {
      EXPECT_EQ(batch.domains[event.domain - 1u].id, event.domain_id);
    }
    if (event.host != 0) {
      EXPECT_EQ(batch.view(batch.hosts[event.host - 1u]), batch.view(event.mta_host));
    }
  }
}

TEST(Names, OneEntryPerDomainWhateverItsSpelling) {
  const std::string relay = "mx.example.com[192.0.2.7]:25";
  const std::vector<std::string> to = {"a@Example.com",
                                       "b@example.com",
                                       "c@EXAMPLE.COM.",
                                       "d@example.net",
                                       "e@m\xc3\xbcller.de",
                                       "f@M\xc3\xbcLLER.de",
                                       "g@xn--mller-kva.de",
                                       "\"h i\"@example.net",
                                       "\xc3\xbc@example.com",
                                       "bare",
                                       "i@t.co",
                                       "j@x.y",
                                       "k@a",
                                       "l@a@example.com"};
  std::string text;
  for (const std::string& address : to) text += line(address, relay);
  const Parsed parsed(text);
  const Batch& batch = parsed.batch;
  ASSERT_EQ(batch.events.size(), to.size());
  check_lists(batch);
  const std::vector<int> want = {1, 1, 1, 2, 3, 3, 3, 2, 1, 0, 4, 5, 6, 1};
  for (std::size_t i = 0; i < to.size(); ++i) EXPECT_EQ(batch.events[i].domain, want[i]) << to[i];
  EXPECT_EQ(parsed.view(batch.domains[0].text), "Example.com");
  EXPECT_EQ(batch.domains.size(), 6u);
}

TEST(Names, HostsByTheirBytes) {
  const std::string failed =
      "status=bounced (host mx.example.org[192.0.2.9] said: 550 5.1.1 no (in reply to RCPT TO "
      "command))";
  const Parsed parsed(line("a@x.example", "mx.example.com[192.0.2.7]:25") +
                      line("a@x.example", "MX.example.com[192.0.2.7]:25") +
                      line("a@x.example", "mx.example.com[192.0.2.8]:25") +
                      line("a@x.example", "none", failed) + line("a@x.example", "local") +
                      line("a@x.example", "mx.example.org[192.0.2.9]:25"));
  const Batch& batch = parsed.batch;
  ASSERT_EQ(batch.events.size(), 6u);
  check_lists(batch);
  EXPECT_EQ(batch.hosts.size(), 3u);
  EXPECT_EQ(batch.events[0].host, 1u);
  EXPECT_EQ(batch.events[2].host, 1u);
  EXPECT_EQ(parsed.view(batch.hosts[batch.events[3].host - 1u]), "mx.example.org");
  EXPECT_EQ(batch.events[4].host, 0u) << "no host";
  EXPECT_EQ(batch.events[5].host, batch.events[3].host);
}

TEST(Names, ListsOfJsonLinesLieInTheArena) {
  std::string text;
  for (const char* name : {"one", "two", "one"}) {
    text += fmt::format(
        R"x({{"timestamp":"2026-11-21T20:45:06Z","host":"mx1","tag":"postfix/smtp[7]:",)x"
        R"x("message":" 4jX42p2B4Pz1c0Hc: to=<a@{0}.example>, relay=mx.{0}.example[192.0.2.7]:25, )x"
        R"x(delay=1, delays=0/0/1/0, dsn=2.0.0, status=sent (250 ok)"}})x"
        "\n",
        name);
  }
  const Parsed parsed(text);
  const Batch& batch = parsed.batch;
  ASSERT_EQ(batch.events.size(), 3u);
  check_lists(batch);
  EXPECT_EQ(batch.domains.size(), 2u);
  EXPECT_EQ(batch.hosts.size(), 2u);
  EXPECT_EQ(batch.events[2].domain, 1u);
  EXPECT_EQ(batch.events[2].host, 1u);
}

TEST(Names, MoreThanFitAreNotListed) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) {
    text += line(fmt::format("a@d{}.example", i), fmt::format("mx{}.example[192.0.2.7]:25", i));
  }
  text += line("a@d0.example", "mx0.example[192.0.2.7]:25");
  const Parsed parsed(text);
  const Batch& batch = parsed.batch;
  ASSERT_EQ(batch.events.size(), 20'001u);
  check_lists(batch);
  EXPECT_LE(batch.domains.size(), NameTable::kNamesMax);
  EXPECT_GT(batch.domains.size(), NameTable::kNamesMax / 2);
  EXPECT_GT(batch.hosts.size(), NameTable::kNamesMax / 2);
  EXPECT_EQ(batch.events.back().domain, 1u);
  EXPECT_EQ(batch.events.back().host, 1u);
}

TEST(Names, BatchesDoNotSeeEachOther) {
  for (int i = 0; i < 70'000; ++i) {  // more than there are generations
    const Parsed parsed(line("a@d.example", "mx.example[192.0.2.7]:25"));
    ASSERT_EQ(parsed.only().domain, 1u);
    ASSERT_EQ(parsed.only().host, 1u);
    ASSERT_EQ(parsed.batch.domains.size(), 1u);
    ASSERT_EQ(parsed.batch.hosts.size(), 1u);
  }
  const Parsed other(line("a@e.example", "mx.example[192.0.2.7]:25"));
  EXPECT_EQ(other.view(other.batch.domains.at(0).text), "e.example");
  check_lists(other.batch);
}

TEST(Names, NamesAreToldApartByEveryByte) {
  std::string text;
  std::vector<std::string> names;
  for (const std::size_t size : {1u, 7u, 8u, 9u, 16u, 23u, 31u, 32u, 33u, 40u, 46u, 100u}) {
    // Between its first and last 16 bytes a large family of long names may be too near each other
    // to be listed.
    for (std::size_t at = 0; at <= size && at < (size > Name::kWhole ? 24u : 32u); ++at) {
      std::string name(size, 'a');
      if (at < size) name[at] = 'b';
      names.push_back(name);
      text += line("x@" + name, name + "[192.0.2.7]:25");
    }
  }
  const Parsed parsed(text + text);
  const Batch& batch = parsed.batch;
  ASSERT_EQ(batch.events.size(), names.size() * 2);
  check_lists(batch);
  EXPECT_EQ(batch.domains.size(), names.size());
  EXPECT_EQ(batch.hosts.size(), names.size());
  for (std::size_t i = 0; i < batch.events.size(); ++i) {
    const auto number = static_cast<std::uint16_t>(i % names.size() + 1);
    EXPECT_EQ(batch.events[i].domain, number);
    EXPECT_EQ(batch.events[i].host, number);
  }
}

}  // namespace
}  // namespace bounced::parse
