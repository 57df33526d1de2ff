#include "report/event_json.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <string>

#include "base/time.h"
#include "parse/parse.h"
#include "report_fixture.h"

namespace bounced::report {
namespace {

class EventJsonTest : public test::ReportTest {
 protected:
  EventJsonTest() {
    batch_.block = pool_.take();
    context_.names = &names_;
    context_.rules = rules_.get();
  }
  Event base() {
    Event event;
    event.time_us = us_from_civil({2026, 11, 21, 20, 22, 31, 123456});
    event.kind = EventKind::bounced;
    event.recipient = batch_.add("a@b.example");
    event.offset = 123;
    event.source = names_.intern(store::Dictionary::source, "mail.log");
    event.format = static_cast<std::uint8_t>(parse::find_format("postfix"));
    return event;
  }
  std::string json(const Event& event) {
    std::string out;
    append_event_json(out, batch_, event, context_);
    EXPECT_FALSE(out.empty());
    EXPECT_EQ(out.back(), '\n');
    out.pop_back();
    simdjson::dom::parser parser;
    EXPECT_EQ(parser.parse(out).error(), simdjson::SUCCESS) << out;
    return out;
  }
  BlockPool pool_{1, 4096};
  Batch batch_;
  EventJsonContext context_;
};

TEST_F(EventJsonTest, FieldsComeInTheOrderOfTheContract) {
  Event e = base();
  e.sender = batch_.add("c@d.example");
  e.tenant = static_cast<std::uint16_t>(names_.intern(store::Dictionary::tenant, "acme"));
  e.stream = static_cast<std::uint16_t>(names_.intern(store::Dictionary::stream, "bulk"));
  e.campaign = batch_.add("spring");
  e.queue_id = batch_.add("4XyZ");
  e.message_id = batch_.add("<m@d>");
  e.mta_host = batch_.add("mx.b.example");
  e.mta_ip = batch_.add("192.0.2.1");
  e.mta_port = 25;
  e.sending_ip = batch_.add("198.51.100.7");
  e.phase = Phase::rcpt;
  e.smtp_code = 550;
  e.enhanced = EnhancedCode{1, 1, 5};
  e.diagnostic = batch_.add("550 5.1.1 no such user");
  e.delay_ms = 1200;
  batch_.set_verdict(e, verdict_of(*rules_, Cause::mailbox_unknown, Severity::permanent, 98));
  EXPECT_EQ(
      json(e),
      R"({"time":"2026-11-21T20:22:31.123456Z","kind":"bounced","recipient":"a@b.example",)"
      R"("sender":"c@d.example","tenant":"acme","stream":"bulk","campaign":"spring",)"
      R"("queue_id":"4XyZ","message_id":"<m@d>",)"
      R"("mta":{"host":"mx.b.example","ip":"192.0.2.1","port":25},"sending_ip":"198.51.100.7",)"
      R"("phase":"rcpt","smtp_code":550,"enhanced":"5.1.1","diagnostic":"550 5.1.1 no such user",)"
      R"("delay_ms":1200,"source":{"name":"mail.log","offset":123,"format":"postfix"},)"
      R"("verdict":{"cause":"mailbox.unknown","class":"hard","hard":true,"said":"permanent",)"
      R"("severity":"permanent","category":"Bad Mailbox","fault":"recipient","confidence":0.98}})");
}

TEST_F(EventJsonTest, WhatIsUnknownIsLeftOut) {
  Event e = base();
  e.kind = EventKind::delivered;
  EXPECT_EQ(json(e),
            R"({"time":"2026-11-21T20:22:31.123456Z","kind":"delivered","recipient":"a@b.example",)"
            R"("source":{"name":"mail.log","offset":123,"format":"postfix"}})");
}

TEST_F(EventJsonTest, NullSenderAndMissingAttemptAreSaid) {
  Event e = base();
  e.kind = EventKind::deferred;
  e.flags = EventFlags::kNullSender | EventFlags::kNotAttempted;
  const std::string out = json(e);
  EXPECT_NE(out.find(R"("sender":"<>")"), std::string::npos);
  EXPECT_NE(out.find(R"("attempted":false)"), std::string::npos);
}

TEST_F(EventJsonTest, HostileTextStaysInsideItsString) {
  Event e = base();
  e.diagnostic = batch_.add("550 \"x\",\"kind\":\"delivered\" \\ \x1b[31m \xff \xc3\xa4\n");
  const std::string out = json(e);
  simdjson::dom::parser parser;
  std::string_view kind, diagnostic;
  const simdjson::dom::element root = parser.parse(out);
  ASSERT_EQ(root["kind"].get(kind), simdjson::SUCCESS);
  EXPECT_EQ(kind, "bounced");
  ASSERT_EQ(root["diagnostic"].get(diagnostic), simdjson::SUCCESS);
  EXPECT_NE(diagnostic.find("\xef\xbf\xbd \xc3\xa4\n"), std::string_view::npos);
}

TEST_F(EventJsonTest, ConfidenceIsAShortFraction) {
  const auto confidence = [&](std::uint8_t percent) {
    std::string out;
    Verdict verdict = verdict_of(*rules_, Cause::mailbox_unknown, Severity::permanent, 98);
    verdict.confidence = percent;
    append_verdict_json(out, verdict, *rules_, 4, 19);
    const auto at = out.find("\"confidence\":") + 13;
    EXPECT_NE(out.find(R"("span":[4,19]})"), std::string::npos);
    return out.substr(at, out.find(',', at) - at);
  };
  EXPECT_EQ(confidence(98), "0.98");
  EXPECT_EQ(confidence(90), "0.9");
  EXPECT_EQ(confidence(5), "0.05");
  EXPECT_EQ(confidence(0), "0");
  EXPECT_EQ(confidence(100), "1");
}

TEST_F(EventJsonTest, RuleAndSpanOfAClassifiedFailure) {
  Classifier::Options options;
  options.words = false;  // the rule that is shown, whatever words weigh
  Classifier classifier(rules_, options);
  context_.classifier = &classifier;
  Event e = base();
  e.smtp_code = 550;
  e.diagnostic = batch_.add("550 The frobnicated mailbox is gone");
  Failure failure;
  failure.diagnostic = batch_.view(e.diagnostic);
  failure.smtp_code = 550;
  failure.recipient_domain = "b.example";
  const Verdict verdict = classifier.classify(failure);
  ASSERT_EQ(verdict.cause, Cause::mailbox_moved);
  batch_.set_verdict(e, verdict);
  const std::string out = json(e);
  EXPECT_NE(out.find(R"("rule":"report-test/frobnicated")"), std::string::npos) << out;
  EXPECT_NE(out.find(R"("span":[8,27])"), std::string::npos) << out;
  // The number of a rule of another generation says nothing.
  batch_.verdicts.back().generation += 1;
  EXPECT_EQ(json(e).find(R"("rule":)"), std::string::npos);
}

}  // namespace
}  // namespace bounced::report
