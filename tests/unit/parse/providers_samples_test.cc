// Every documented sample of ../shared/data/webhooks that tells an outcome is mapped, none is
// unparsed. What is no event (API answers, parts of objects without a recipient) may be.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "providers_helper.h"

namespace bounced::parse::providers {
namespace {

using testing::Told;

std::filesystem::path samples_path() {
  const char* shared = std::getenv("BOUNCED_SHARED");
  const std::filesystem::path root = shared != nullptr ? shared : BOUNCED_SOURCE_DIR "/../shared";
  return root / "data/webhooks/samples.jsonl";
}

/// What a sample speaks of, whoever wrote it: words of an outcome, and an address.
bool tells_outcome(std::string_view json) {
  if (json.find('@') == std::string_view::npos) return false;
  for (const std::string_view word :
       {"\"Bounce\"",           "bouncedRecipients", "\"bounce\"",     "\"Complaint\"",
        "complainedRecipients", "\"Delivery\"",      "smtpResponse",   "\"DeliveryDelay\"",
        "delayedRecipients",    "\"delivered\"",     "\"deferred\"",   "\"failed\"",
        "\"dropped\"",          "\"spamreport\"",    "\"complained\"", "\"sent\"",
        "\"blocked\"",          "\"spam\"",          "\"Sent\"",       "original_message",
        "email.delivered"}) {
    if (json.find(word) != std::string_view::npos) return true;
  }
  return false;
}

TEST(ProviderSamples, OutcomesAreMapped) {
  std::ifstream in(samples_path());
  if (!in) GTEST_SKIP() << "no " << samples_path();
  simdjson::dom::parser parser;
  std::size_t outcomes = 0, line_number = 0;
  for (std::string line; std::getline(in, line); ++line_number) {
    simdjson::dom::element sample;
    ASSERT_EQ(parser.parse(line).get(sample), simdjson::SUCCESS);
    std::string provider(sample["provider"].get_string().value());
    const std::string json = simdjson::to_string(sample["json"]);
    if (provider == "sns") provider = "ses";
    Told told;
    testing::run(provider, json, told);
    EXPECT_NE(told.parsed.kind, Parsed::Kind::malformed) << line_number << ' ' << json;
    if (!tells_outcome(json)) continue;
    // A list of the fields that all records have: it names no recipient.
    const bool no_recipient = json.find("\"RecordType\"") != std::string::npos &&
                              json.find("\"Email\"") == std::string::npos;
    if (no_recipient) {
      EXPECT_EQ(told.parsed.unparsed, 1u);
      continue;
    }
    ++outcomes;
    EXPECT_GT(told.size(), 0u) << line_number << ' ' << json;
    EXPECT_EQ(told.parsed.unparsed, 0u) << line_number << ' ' << json;
    if (std::getenv("BOUNCED_SHOW") != nullptr) {
      std::printf("%zu %s: %s", line_number, provider.c_str(), told.all().c_str());
    }
  }
  EXPECT_GE(outcomes, 40u);
}

TEST(ProviderSamples, OursAreOneDeliveryOfEachProvider) {
  for (const Provider& provider : table()) {
    const Sample one = sample(provider.name, "sample-1", testing::kNowUs);
    testing::Post post;
    post.method = one.method;
    if (!one.query.empty()) post.target += "?" + one.query;
    if (!one.content_type.empty()) post.headers = {{"content-type", std::string(one.content_type)}};
    if (provider.name == "ses") post.headers.emplace_back("x-amz-sns-rawdelivery", "true");
    post.body = one.body;
    const Endpoint endpoint = testing::open_endpoint(provider.name);
    post.with([&](const Request& request) {
      Batch batch;
      const Parsed parsed = endpoint.parse(testing::context(), request, batch);
      EXPECT_EQ(parsed.kind, Parsed::Kind::events) << provider.name << ": " << parsed.detail;
      EXPECT_EQ(parsed.unparsed, 0u) << provider.name;
      ASSERT_EQ(batch.events.size(), 1u) << provider.name;
      const Event& event = batch.events[0];
      EXPECT_EQ(event.kind, EventKind::delivered) << provider.name;
      EXPECT_EQ(batch.view(event.recipient), kSampleRecipient) << provider.name;
      EXPECT_NE(event.message, 0u) << provider.name;
      EXPECT_NEAR(static_cast<double>(event.time_us), static_cast<double>(testing::kNowUs), 1e6)
          << provider.name;
    });
  }
  EXPECT_TRUE(sample("nobody", "x", 0).body.empty());
}

TEST(ProviderSamples, MailgunsLegacyPostsInParts) {
  testing::Post post;
  post.headers = {{"content-type", "multipart/form-data; boundary=\"b0\""}};
  const auto part = [](std::string_view name, std::string_view value) {
    return "--b0\r\nContent-Disposition: form-data; name=\"" + std::string(name) + "\"\r\n\r\n" +
           std::string(value) + "\r\n";
  };
  post.body =
      "before\r\n" + part("event", "bounced") + part("recipient", "anna@far.example") +
      part("code", "550") + part("error", "550 5.1.1 no such user") +
      part("timestamp", "1795348800") +
      "--b0\r\nContent-Disposition: form-data; name=\"event\"; filename=\"a\"\r\n\r\nx\r\n" +
      "--b0--\r\n";
  const Endpoint endpoint = testing::open_endpoint("mailgun");
  post.with([&](const Request& request) {
    Batch batch;
    const Parsed parsed = endpoint.parse(testing::context(), request, batch);
    ASSERT_EQ(parsed.kind, Parsed::Kind::events) << parsed.detail;
    ASSERT_EQ(batch.events.size(), 1u);
    EXPECT_EQ(batch.events[0].kind, EventKind::bounced);
    EXPECT_EQ(batch.view(batch.events[0].recipient), "anna@far.example");
    EXPECT_EQ(batch.view(batch.events[0].diagnostic), "550 5.1.1 no such user");
  });
}

}  // namespace
}  // namespace bounced::parse::providers
