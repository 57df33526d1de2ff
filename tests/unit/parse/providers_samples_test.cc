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

}  // namespace
}  // namespace bounced::parse::providers
