// What events of providers have in common: keys, ids, times, codes, bounds.
#include <fmt/printf.h>
#include <gtest/gtest.h>

#include <set>

#include "base/message.h"
#include "parse/providers/texts.h"
#include "providers_helper.h"

namespace bounced::parse::providers {
namespace {

using testing::kNowUs;
using testing::Post;
using testing::Told;

std::vector<AddressId> keys_of(std::string_view provider, std::string body,
                               std::int64_t now_us = kNowUs) {
  Told told;
  Post post;
  post.body = std::move(body);
  post.now_us = now_us;
  testing::run(testing::open_endpoint(provider), post, told);
  std::vector<AddressId> keys(told.batch.keys.begin(), told.batch.keys.end());
  for (std::size_t i = 0; i < told.size(); ++i) EXPECT_NE(told.at(i).id, 0u);
  return keys;
}

constexpr const char* kSendgrid =
    R"([{"email":"anna@far.example","event":"bounce","timestamp":1763712000,"type":"bounce",)"
    R"("sg_event_id":"%s","smtp-id":"<a@b>","reason":"%s"}])";

TEST(ProviderEvents, TheSameEventToldAgainHasTheSameKey) {
  const auto first = keys_of("sendgrid", fmt::sprintf(kSendgrid, "one", "550 5.1.1 no"));
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(keys_of("sendgrid", fmt::sprintf(kSendgrid, "two", "550 5.1.1 no")), first)
      << "its id changes on retries";
  EXPECT_NE(keys_of("sendgrid", fmt::sprintf(kSendgrid, "one", "550 5.2.2 full")), first);
  const std::string timeless = R"({"event":"spam","email":"anna@far.example"})";
  EXPECT_EQ(keys_of("brevo", timeless), keys_of("brevo", timeless, kNowUs + kDayUs))
      << "the time it came is not what it says";
  const std::string other_case = R"({"event":"spam","email":"Anna@FAR.example"})";
  EXPECT_EQ(keys_of("brevo", timeless), keys_of("brevo", other_case));
}

TEST(ProviderEvents, RecipientsOfOneNotificationHaveKeysOfTheirOwn) {
  const auto keys =
      keys_of("ses", R"({"eventType":"Bounce","bounce":{"bounceType":"Permanent","feedbackId":"f",)"
                     R"("bouncedRecipients":[{"emailAddress":"a@far.example"},)"
                     R"({"emailAddress":"b@far.example"}]}})");
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_FALSE(keys[0] == keys[1]);
}

TEST(ProviderEvents, MessagesAreKnownByMessageIdElseByTheProvidersOwn) {
  Told told;
  testing::run("sendgrid", fmt::sprintf(kSendgrid, "one", "x"), told);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told.at(0).message, message_fingerprint("<a@b>"));
  Told own;
  testing::run("postmark",
               R"({"RecordType":"Delivery","Recipient":"a@far.example","MessageID":"883953f4"})",
               own);
  ASSERT_EQ(own.size(), 1u);
  EXPECT_EQ(own.at(0).message, message_fingerprint("883953f4"));
  EXPECT_EQ(own.text(own.at(0).queue_id), "883953f4");
  EXPECT_EQ(own.at(0).queue_key, 0u) << "no queue of ours";
}

TEST(ProviderEvents, ABadRequestLeavesTheBatchAsItWas) {
  Told told;
  testing::run("sendgrid", fmt::sprintf(kSendgrid, "one", "x"), told);
  testing::run("sendgrid", R"([{"email":"b@far.example","event":"spamreport"},{"x")", told);
  EXPECT_EQ(told.parsed.kind, Parsed::Kind::malformed);
  EXPECT_EQ(told.size(), 1u);
  testing::run("sendgrid", R"([{"email":"b@far.example","event":"spamreport"}])", told);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told.text(told.at(0).recipient), "anna@far.example");
  EXPECT_EQ(told.batch.keys.size(), 2u);
  EXPECT_EQ(told.batch.times.form(), TimeForm::utc);
}

TEST(ProviderEvents, ManyRecipientsShareTheTextsOfTheirMessage) {
  constexpr std::size_t kRecipients = 50'000;
  std::string body = R"({"eventType":"Delivery","mail":{"source":"n@shop.example","messageId":")" +
                     std::string(800, 'm') + R"("},"delivery":{"smtpResponse":"250 )" +
                     std::string(3000, 'x') + R"(","recipients":[)";
  for (std::size_t i = 0; i < kRecipients; ++i) {
    body += fmt::format("{}\"u{}@far.example\"", i == 0 ? "" : ",", i);
  }
  body += "]}}";
  Told told;
  testing::run("ses", body, told);
  EXPECT_EQ(told.size(), kRecipients);
  EXPECT_LT(told.batch.arena_size(), 3 * body.size());
}

TEST(ProviderEvents, TextsAreBounded) {
  Told told;
  testing::run("generic",
               R"({"kind":"bounced","recipient":"a@far.example","diagnostic":")" +
                   std::string(100'000, 'd') + R"(","campaign":")" + std::string(5000, 'c') +
                   R"(","time":99999999999999999999})",
               told);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told.at(0).diagnostic.size, limits::kDiagnosticBytesMax);
  EXPECT_EQ(told.at(0).campaign.size, kCampaignBytesMax);
  EXPECT_EQ(told.at(0).time_us, kNowUs) << "a time nobody believes is none";
}

TEST(ProviderEvents, BadUtf8IsRepairedAndLosesNothing) {
  Told told;
  testing::run("generic",
               "{\"kind\":\"bounced\",\"recipient\":\"a@far.example\",\"diagnostic\":\"550 "
               "\xff\xe9t\xc3\xa9 \xed\xa0\x80\"}",
               told);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told.text(told.at(0).diagnostic), "550 \uFFFD\uFFFDt\u00E9 \uFFFD\uFFFD\uFFFD");
}

TEST(ProviderEvents, LongLinesOfEventsCostOneEach) {
  std::string lines;
  for (int i = 0; i < 1000; ++i) {
    lines += fmt::format("{{\"kind\":\"delivered\",\"recipient\":\"u{}@far.example\"}}\n", i);
    if (i % 100 == 0) lines += "{\"kind\": \n";
  }
  Told told;
  testing::run("generic", lines, told);
  EXPECT_EQ(told.size(), 1000u);
  EXPECT_EQ(told.parsed.unparsed, 10u);
}

TEST(ProviderTexts, Times) {
  const std::int64_t expected = parse_time("2026-11-21T20:22:31Z").value();
  for (const char* text :
       {"1795292551", "1795292551000", "1795292551000000", "1795292551000000000", "1795292551.0",
        "2026-11-21T20:22:31Z", "2026-11-21T20:22:31.000000000Z", "2026-11-21 20:22:31",
        "2026-11-21T20:22:31 +0000", "2026-11-21T21:22:31+01:00", "2026-11-21T15:22:31.0-0500",
        "Sat, 21 Nov 2026 20:22:31 +0000", "21 Nov 2026 21:22:31 +0100", "2026/11/21 20:22:31",
        "11/21/2026 8:22:31 PM", " 1795292551 ", "2026-11-21 20:22:31 UTC"}) {
    EXPECT_EQ(read_time(text), expected) << text;
  }
  for (const char* text : {"", "x", "-5", "0", "2026-13-01T00:00:00Z", "2026-02-30", "20:22:31",
                           "99999999999999999999", "2026-11-21T25:00:00Z", "31 Foo 2026 00:00",
                           "9999-01-01T00:00:00Z", "1.5e9"}) {
    EXPECT_EQ(read_time(text), 0) << text;
  }
  EXPECT_EQ(read_time("1795292551.25"), expected + 250'000);
  EXPECT_EQ(read_time("2024-02-29T00:00:00Z"), parse_time("2024-02-29").value());
}

TEST(ProviderTexts, Codes) {
  const auto codes = [](std::string_view text) {
    const Codes c = read_codes(text);
    return fmt::format("{} {}.{}.{}", c.smtp, c.enhanced.klass, c.enhanced.subject,
                       c.enhanced.detail);
  };
  EXPECT_EQ(codes("550 5.1.1 no"), "550 5.1.1");
  EXPECT_EQ(codes("smtp; 550-5.7.26 no"), "550 5.7.26");
  EXPECT_EQ(codes("smtp;552 5.2.2 full"), "552 5.2.2");
  EXPECT_EQ(codes("5.1.1"), "0 5.1.1");
  EXPECT_EQ(codes("sent (250 2.0.0 OK)"), "250 2.0.0");
  EXPECT_EQ(codes("550 #5.1.0 Address rejected"), "550 5.1.0");
  EXPECT_EQ(codes("192.0.2.1 said no"), "0 0.0.0");
  EXPECT_EQ(codes("5500 is a number"), "0 0.0.0");
  EXPECT_EQ(codes("5.1.1.9"), "0 0.0.0");
  EXPECT_EQ(codes(""), "0 0.0.0");
}

TEST(ProviderTexts, FormsAndBase64) {
  const auto fields = read_form("a=1+2&b=%C3%A9%zz%2&&=x&c&a=second");
  EXPECT_EQ(form_value(fields, "a"), "1 2");
  EXPECT_EQ(form_value(fields, "b"), "\u00E9%zz%2");
  EXPECT_EQ(form_value(fields, "c"), "");
  std::string out;
  for (const std::string_view bytes : {"", "a", "ab", "abc", "\xff\xfe\xfd\xfc"}) {
    EXPECT_TRUE(from_base64(to_base64(bytes), out));
    EXPECT_EQ(out, bytes);
    EXPECT_TRUE(from_hex(to_hex(bytes), out));
    EXPECT_EQ(out, bytes);
  }
  EXPECT_FALSE(from_base64("a b", out));
  EXPECT_FALSE(from_base64("abcde", out));
  EXPECT_FALSE(from_hex("abc", out));
  EXPECT_FALSE(from_hex("zz", out));
}

TEST(ProviderTable, RowsAreComplete) {
  std::set<std::string_view> names;
  for (const Provider& provider : table()) {
    EXPECT_TRUE(names.insert(provider.name).second) << provider.name;
    EXPECT_FALSE(provider.title.empty());
    EXPECT_GT(provider.setup.size(), 200u) << provider.name;
    EXPECT_GE(provider.retry_horizon_us, kHourUs);
    EXPECT_EQ(provider.statuses.accepted, 200);
    EXPECT_EQ(find(provider.name), &provider);
  }
  EXPECT_EQ(names.size(), 19u);
  // The reference's traps: what these providers take for "come again".
  EXPECT_EQ(find("brevo")->statuses.overloaded, 429);
  EXPECT_EQ(find("ses")->statuses.overloaded, 503);
  EXPECT_EQ(find("mailgun")->statuses.malformed, 406);
  EXPECT_EQ(find("nobody"), nullptr);
}

}  // namespace
}  // namespace bounced::parse::providers
