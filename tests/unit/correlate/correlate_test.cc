#include "correlate/correlate.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/index_table.h"
#include "base/message.h"
#include "record_builder.h"

namespace bounced::correlate {
namespace {

using test::RecordBuilder;
using test::verdict;

class CorrelateTest : public testing::Test {
 protected:
  void make(Options options = {}) {
    options.expired = verdict(Cause::network_expired, Fault::network);
    correlator_ = std::make_unique<Correlator>(std::move(options), names_);
  }
  std::vector<Event*> run(RecordBuilder& records) {
    if (!correlator_) make();
    std::vector<Event*> out;
    Cursor cursor;
    correlator_->apply(records.batch, cursor, INT64_MAX, out);
    EXPECT_EQ(cursor.event, records.batch.events.size());
    EXPECT_EQ(cursor.note, records.batch.notes.size());
    return out;
  }
  static std::string text(const RecordBuilder& records, Text piece) {
    return std::string(records.batch.view(piece));
  }
  store::Names names_;
  std::unique_ptr<Correlator> correlator_;
};

TEST_F(CorrelateTest, EnrichesAFinalEventWithWhatOtherLinesTold) {
  RecordBuilder r;
  r.note(NoteKind::sasl_user, 1, 0, "campaigns");
  r.note(NoteKind::message_id, 1, 0.1, "<a.1@esp.example>");
  r.note(NoteKind::campaign, 1, 0.1, "spring");
  r.note(NoteKind::begin, 1, 0.2, "bounce+1@news.example", 1);
  r.event(EventKind::delivered, 1, 1, "jo@example.com");
  r.note(NoteKind::removed, 1, 1.1);
  const auto out = run(r);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(text(r, out[0]->sender), "bounce+1@news.example");
  EXPECT_EQ(text(r, out[0]->message_id), "<a.1@esp.example>");
  EXPECT_EQ(text(r, out[0]->campaign), "spring");
  EXPECT_FALSE(out[0]->has(EventFlags::kNullSender));
  EXPECT_EQ(out[0]->message, message_fingerprint("a.1@esp.example"));
  EXPECT_EQ(correlator_->stats().open, 0u);
  EXPECT_EQ(correlator_->stats().enriched, 1u);
}

TEST_F(CorrelateTest, NullSenderIsKnownAndNotUnknown) {
  RecordBuilder r;
  r.note(NoteKind::begin, 1, 0, "", 1);
  r.event(EventKind::delivered, 1, 1, "jo@example.com");
  r.event(EventKind::delivered, 2, 1, "jo@example.com");
  const auto out = run(r);
  EXPECT_TRUE(out[0]->has(EventFlags::kNullSender));
  EXPECT_FALSE(out[1]->has(EventFlags::kNullSender));
}

TEST_F(CorrelateTest, AnEventWithoutEntryPassesAtOnceWithAFingerprint) {
  RecordBuilder r;
  r.event(EventKind::bounced, 5, 0, "jo@example.com", "550 no");
  r.event(EventKind::bounced, 5, 9, "jo@example.com", "550 no");
  r.event(EventKind::bounced, 0, 9, "jo@example.com", "550 no");
  const auto out = run(r);
  ASSERT_EQ(out.size(), 3u);
  for (const Event* event : out) EXPECT_NE(event->message, 0u);
  EXPECT_NE(out[0]->message, out[1]->message) << "a short id used again is another message";
  EXPECT_EQ(correlator_->stats().open, 0u);
}

TEST_F(CorrelateTest, LongTextsGoOverTheInlineBytes) {
  const std::string sender(300, 's'), id(400, 'i');
  RecordBuilder r;
  r.note(NoteKind::message_id, 1, 0, "<short@x>");
  r.note(NoteKind::campaign, 1, 0, std::string(5000, 'c'));
  r.note(NoteKind::begin, 1, 0.2, sender, 1);
  r.event(EventKind::delivered, 1, 1, "jo@example.com");
  r.note(NoteKind::campaign, 1, 2, "c2");
  r.event(EventKind::delivered, 1, 3, "al@example.com");
  const auto out = run(r);
  EXPECT_EQ(text(r, out[0]->sender), sender);
  EXPECT_EQ(text(r, out[0]->campaign), std::string(256, 'c'));
  EXPECT_EQ(text(r, out[0]->message_id), "<short@x>");
  EXPECT_EQ(text(r, out[1]->campaign), "c2");
  EXPECT_EQ(text(r, out[1]->sender), sender);
}

// --- expiry

TEST_F(CorrelateTest, ExpiryReachesTheStillDeferredRecipients) {
  const Verdict full = verdict(Cause::mailbox_full, Fault::recipient);
  RecordBuilder r;
  r.note(NoteKind::message_id, 1, 0, "<m@x>");
  r.note(NoteKind::begin, 1, 0, "s@news.example", 3);
  for (const char* who : {"a@x.example", "b@x.example", "c@x.example", "d@x.example"}) {
    Event& e = r.event(EventKind::deferred, 1, 10, who, "452 4.2.2 full", &full);
    e.smtp_code = 452;
    e.enhanced = EnhancedCode{2, 2, 4};
    e.mta_port = 25;
    e.phase = Phase::rcpt;
    e.mta_host = r.batch.add("mx.x.example");
    e.mta_ip = r.batch.add("192.0.2.1");
    e.delay_ms = 10'000;
    e.flags = EventFlags::kRelay;
  }
  r.event(EventKind::delivered, 1, 400, "b@x.example");
  r.event(EventKind::bounced, 1, 400, "d@x.example", "550 no");
  const Note note = r.note(NoteKind::expired, 1, 432'000, "s@news.example");
  r.note(NoteKind::removed, 1, 432'001);
  const auto out = run(r);
  ASSERT_EQ(out.size(), 8u);
  const Event& first = *out[6];
  EXPECT_EQ(first.kind, EventKind::expired);
  EXPECT_TRUE(first.has(EventFlags::kSynthesised));
  EXPECT_TRUE(first.has(EventFlags::kRelay));
  EXPECT_EQ(text(r, first.recipient), "a@x.example");
  EXPECT_EQ(text(r, out[7]->recipient), "c@x.example");
  EXPECT_EQ(text(r, first.diagnostic), "452 4.2.2 full");
  EXPECT_EQ(text(r, first.mta_host), "mx.x.example");
  EXPECT_EQ(text(r, first.mta_ip), "192.0.2.1");
  EXPECT_EQ(text(r, first.queue_id), "4XyZ1");
  EXPECT_EQ(text(r, first.sender), "s@news.example");
  EXPECT_EQ(first.mta_port, 25);
  EXPECT_EQ(first.smtp_code, 452);
  EXPECT_EQ(first.enhanced.klass, 4);
  EXPECT_EQ(first.phase, Phase::rcpt);
  EXPECT_EQ(first.time_us, note.time_us);
  EXPECT_EQ(first.offset, note.offset);
  EXPECT_EQ(first.delay_ms, 432'000'000u) << "since the message arrived";
  EXPECT_EQ(first.recipient_id.hi, out[0]->recipient_id.hi);
  EXPECT_EQ(first.domain_id.lo, out[0]->domain_id.lo);
  EXPECT_EQ(first.message, out[0]->message);
  EXPECT_NE(first.id, 0u);
  EXPECT_NE(first.id, out[7]->id);
  ASSERT_NE(r.batch.verdict(first), nullptr);
  EXPECT_EQ(r.batch.verdict(first)->cause, Cause::mailbox_full);
  EXPECT_EQ(correlator_->stats().expired_events, 2u);
}

TEST_F(CorrelateTest, AnExpiryThatNamesItsRecipientTakesTheCauseOfTheAttempts) {
  const Verdict full = verdict(Cause::mailbox_full, Fault::recipient);
  const Verdict listed = verdict(Cause::rate_limited, Fault::sender);
  const Verdict age = verdict(Cause::network_expired, Fault::network);
  RecordBuilder r;
  r.note(NoteKind::begin, 1, 0, "s@news.example");
  const auto attempt = [&](const char* who, const char* words, const Verdict& because) {
    Event& e = r.event(EventKind::deferred, 1, 10, who, words, &because);
    e.smtp_code = 452;
    e.phase = Phase::rcpt;
    e.mta_host = r.batch.add("mx.x.example");
  };
  attempt("a@x.example", "452 4.2.2 full", full);
  attempt("b@x.example", "452 4.2.2 full", full);
  attempt("b@x.example", "421 slow down", listed);
  attempt("c@x.example", "452 4.2.2 full", full);
  r.event(EventKind::deferred, 1, 10, "d@x.example", "retry time not reached", &age).flags =
      EventFlags::kNotAttempted;
  for (const char* who : {"a@x.example", "b@x.example", "d@x.example"}) {
    r.event(EventKind::expired, 1, 3610, who, "retry timeout exceeded", &age);
  }
  Event& own = r.event(EventKind::expired, 1, 3610, "c@x.example", "450 try later", &age);
  own.smtp_code = 450;
  own.phase = Phase::mail;
  const auto out = run(r);
  ASSERT_EQ(out.size(), 9u);
  const auto cause = [&](std::size_t i) { return r.batch.verdict(*out[i])->cause; };
  EXPECT_EQ(cause(5), Cause::mailbox_full);
  EXPECT_EQ(text(r, out[5]->diagnostic), "452 4.2.2 full");
  EXPECT_EQ(text(r, out[5]->mta_host), "mx.x.example");
  EXPECT_EQ(out[5]->smtp_code, 452);
  EXPECT_EQ(out[5]->phase, Phase::rcpt);
  EXPECT_EQ(out[5]->delay_ms, 3'600'000u) << "since the first attempt that is known";
  EXPECT_EQ(cause(6), Cause::rate_limited) << "an attempt that exempts";
  EXPECT_EQ(text(r, out[6]->diagnostic), "421 slow down");
  EXPECT_EQ(cause(7), Cause::network_expired) << "never attempted";
  EXPECT_EQ(text(r, out[7]->diagnostic), "retry timeout exceeded");
  EXPECT_EQ(cause(8), Cause::mailbox_full) << "the most specific one";
  EXPECT_EQ(text(r, out[8]->diagnostic), "450 try later") << "words of its own";
  EXPECT_EQ(out[8]->smtp_code, 450);
}

TEST_F(CorrelateTest, ExpiryWithoutKnownRecipientsIsCounted) {
  RecordBuilder r;
  r.note(NoteKind::expired, 9, 0, "s@x");
  r.note(NoteKind::begin, 1, 0, "s@x", 1);
  r.note(NoteKind::expired, 1, 1, "s@x");
  EXPECT_TRUE(run(r).empty());
  EXPECT_EQ(correlator_->stats().expired_unmatched, 2u);
}

TEST_F(CorrelateTest, ASecondExpiryOfTheSameMessageTellsNothingNew) {
  RecordBuilder r;
  r.event(EventKind::deferred, 1, 10, "a@x.example", "450 wait");
  r.note(NoteKind::expired, 1, 20);
  r.note(NoteKind::expired, 1, 21);
  EXPECT_EQ(run(r).size(), 2u);
}

struct ExpiryCase {
  const char* name;
  std::vector<Verdict> attempts;
  Cause cause;
};

class ExpiryVerdict : public CorrelateTest, public testing::WithParamInterface<ExpiryCase> {};

TEST_P(ExpiryVerdict, IsTheMostSpecificOrTheExemptingOne) {
  RecordBuilder r;
  double time = 0;
  for (const Verdict& attempt : GetParam().attempts) {
    r.event(EventKind::deferred, 1, ++time, "a@x.example", "4xx", &attempt);
  }
  r.note(NoteKind::expired, 1, 100);
  const auto out = run(r);
  ASSERT_EQ(out.size(), GetParam().attempts.size() + 1);
  ASSERT_NE(r.batch.verdict(*out.back()), nullptr);
  EXPECT_EQ(r.batch.verdict(*out.back())->cause, GetParam().cause);
}

const Verdict kFull = verdict(Cause::mailbox_full, Fault::recipient);
const Verdict kDisabled = verdict(Cause::mailbox_disabled, Fault::recipient);
const Verdict kDns = verdict(Cause::domain_dns_temp, Fault::domain);
const Verdict kDown = verdict(Cause::domain_down, Fault::domain);
const Verdict kLost = verdict(Cause::network_connection, Fault::network);
const Verdict kUnknown = verdict(Cause::unknown_temporary, Fault::unknown);
const Verdict kListed = verdict(Cause::sender_ip_listed, Fault::sender);
const Verdict kSpam = verdict(Cause::spam_content, Fault::content);
const Verdict kGrey = verdict(Cause::rate_greylist, Fault::none);

INSTANTIATE_TEST_SUITE_P(
    All, ExpiryVerdict,
    testing::Values(ExpiryCase{"SpecificFirst", {kFull, kLost, kUnknown}, Cause::mailbox_full},
                    ExpiryCase{
                        "SpecificLast", {kUnknown, kLost, kDown, kFull}, Cause::mailbox_full},
                    ExpiryCase{"DomainOverNetwork", {kDown, kLost}, Cause::domain_down},
                    ExpiryCase{"NetworkOverUnknown", {kLost, kUnknown}, Cause::network_connection},
                    ExpiryCase{"TieTakesTheLatest", {kFull, kDisabled}, Cause::mailbox_disabled},
                    ExpiryCase{"TieOfDomains", {kDown, kDns}, Cause::domain_dns_temp},
                    ExpiryCase{"OurFaultExempts", {kFull, kListed, kFull}, Cause::sender_ip_listed},
                    ExpiryCase{"ContentExempts", {kSpam, kFull}, Cause::spam_content},
                    ExpiryCase{"RateExempts", {kGrey, kFull}, Cause::rate_greylist},
                    ExpiryCase{"LatestExemption", {kListed, kGrey, kFull}, Cause::rate_greylist},
                    ExpiryCase{"OnlyUnknown", {kUnknown}, Cause::unknown_temporary}),
    [](const auto& row) { return row.param.name; });

TEST_F(CorrelateTest, ADeferralWithoutAttemptDoesNotSpeakForTheRecipient) {
  RecordBuilder r;
  Event& a =
      r.event(EventKind::deferred, 1, 1, "a@x.example", "delivery temporarily suspended", &kDown);
  a.flags |= EventFlags::kNotAttempted;
  r.event(EventKind::deferred, 1, 1, "b@x.example", "452 full", &kFull);
  Event& b =
      r.event(EventKind::deferred, 1, 2, "b@x.example", "delivery temporarily suspended", &kDown);
  b.flags |= EventFlags::kNotAttempted;
  r.note(NoteKind::expired, 1, 100);
  const auto out = run(r);
  ASSERT_EQ(out.size(), 5u);
  EXPECT_EQ(r.batch.verdict(*out[3])->cause, Cause::network_expired) << "Options::expired";
  EXPECT_EQ(text(r, out[3]->diagnostic), "delivery temporarily suspended");
  EXPECT_FALSE(out[3]->has(EventFlags::kNotAttempted));
  EXPECT_EQ(r.batch.verdict(*out[4])->cause, Cause::mailbox_full);
  EXPECT_EQ(text(r, out[4]->diagnostic), "452 full");
}

TEST_F(CorrelateTest, LastWordsAreBoundedAndTheFailedMxStandsIn) {
  RecordBuilder r;
  r.event(EventKind::deferred, 1, 1, "a@x.example", std::string(3000, 'w'));
  r.event(EventKind::deferred, 1, 1, "b@x.example", "");
  r.note(NoteKind::mx_failure, 1, 2, "host mx[192.0.2.1] said: 451 later");
  r.note(NoteKind::expired, 1, 100);
  const auto out = run(r);
  ASSERT_EQ(out.size(), 4u);
  EXPECT_EQ(text(r, out[2]->diagnostic), std::string(512, 'w'));
  EXPECT_EQ(text(r, out[3]->diagnostic), "host mx[192.0.2.1] said: 451 later");
  EXPECT_EQ(correlator_->stats().mx_failures, 1u);
}

TEST_F(CorrelateTest, ProbesNeitherMakeNorEndDeferrals) {
  RecordBuilder r;
  r.event(EventKind::deferred, 1, 1, "a@x.example", "450 wait");
  r.event(EventKind::probed, 1, 2, "a@x.example", "550 no");
  r.note(NoteKind::expired, 1, 100);
  EXPECT_EQ(run(r).size(), 3u);
}

// --- reuse of queue ids

TEST_F(CorrelateTest, QueueRunsRepeatFromAndChangeNothing) {
  RecordBuilder r;
  r.note(NoteKind::message_id, 1, 0, "<m@x>");
  r.note(NoteKind::begin, 1, 1, "s@x", 1);
  r.event(EventKind::deferred, 1, 2, "a@x.example", "450 wait");
  r.note(NoteKind::begin, 1, 300, "s@x", 1);
  r.note(NoteKind::expired, 1, 400);
  const auto out = run(r);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0]->message, out[1]->message);
}

TEST_F(CorrelateTest, AnotherMessageUnderTheSameIdStartsAnew) {
  const auto open = [](RecordBuilder& r) {
    r.note(NoteKind::client, 1, 0, "app[192.0.2.9]");
    r.note(NoteKind::message_id, 1, 0, "<old@x>");
    r.note(NoteKind::campaign, 1, 0, "old");
    r.note(NoteKind::begin, 1, 1, "old@x", 1);
    r.event(EventKind::deferred, 1, 2, "a@x.example", "450 wait");
  };
  struct Case {
    NoteKind kind;
    const char* text;
  } cases[] = {{NoteKind::client, "app[192.0.2.9]"},
               {NoteKind::sasl_user, "u"},
               {NoteKind::message_id, "<new@x>"},
               {NoteKind::begin, "new@x"}};
  for (const Case& c : cases) {
    make();
    RecordBuilder r;
    open(r);
    r.note(c.kind, 1, 1000, c.text);
    r.event(EventKind::delivered, 1, 1001, "b@x.example");
    r.note(NoteKind::expired, 1, 1002);
    const auto out = run(r);
    ASSERT_EQ(out.size(), 2u) << c.text;
    EXPECT_TRUE(out[1]->campaign.empty()) << c.text;
    EXPECT_NE(out[0]->message, out[1]->message) << c.text;
  }
}

TEST_F(CorrelateTest, AResentMessageIdBeforeTheQueueManagerIsTheSameMessage) {
  RecordBuilder r;
  r.note(NoteKind::sasl_user, 1, 0, "u");
  r.note(NoteKind::message_id, 1, 0, "<resent@x>");
  r.note(NoteKind::message_id, 1, 0, "<first@x>");
  r.note(NoteKind::message_id, 1, 0, "<>");
  r.note(NoteKind::begin, 1, 1, "s@x", 1);
  r.event(EventKind::delivered, 1, 2, "a@x.example");
  const auto out = run(r);
  EXPECT_EQ(text(r, out[0]->message_id), "<resent@x>");
  EXPECT_EQ(text(r, out[0]->sender), "s@x");
}

TEST_F(CorrelateTest, LinesOutOfOrderStillMeet) {
  RecordBuilder r;
  r.note(NoteKind::begin, 1, 1, "s@x", 1);
  r.note(NoteKind::message_id, 1, 1, "<m@x>");
  r.event(EventKind::delivered, 1, 2, "a@x.example");
  const auto out = run(r);
  EXPECT_EQ(text(r, out[0]->message_id), "<m@x>");
  EXPECT_EQ(text(r, out[0]->sender), "s@x");
}

TEST_F(CorrelateTest, AMessageIsOverWhenAllItsRecipientsAre) {
  RecordBuilder r;
  r.note(NoteKind::begin, 1, 1, "s@x", 3);
  r.event(EventKind::deferred, 1, 2, "c@x.example", "450 wait");
  r.event(EventKind::delivered, 1, 2, "a@x.example").mta_port = 25;
  r.event(EventKind::bounced, 1, 2, "b@x.example", "550 no");
  r.event(EventKind::delivered, 1, 9, "c@x.example").mta_port = 25;
  const auto out = run(r);
  for (const Event* event : out) EXPECT_EQ(text(r, event->sender), "s@x");
  EXPECT_EQ(correlator_->stats().open, 0u) << "although nobody said removed";
}

TEST_F(CorrelateTest, LinesOfAnAliasDoNotEndAMessage) {
  RecordBuilder r;
  r.note(NoteKind::begin, 1, 1, "s@x", 1);
  for (const char* who : {"a@x", "b@x", "c@x"}) r.event(EventKind::delivered, 1, 2, who);
  for (const Event* event : run(r)) EXPECT_EQ(text(r, event->sender), "s@x");
  EXPECT_EQ(correlator_->stats().open, 1u);
}

// --- order and slices

TEST_F(CorrelateTest, TakesRecordsUpToATimeInLineOrder) {
  make();
  RecordBuilder r;
  r.note(NoteKind::begin, 1, 1, "s@x", 1);
  r.event(EventKind::delivered, 1, 2, "a@x.example");
  r.note(NoteKind::removed, 1, 3);
  r.event(EventKind::delivered, 1, 4, "b@x.example");
  Cursor cursor;
  std::vector<Event*> out;
  correlator_->apply(r.batch, cursor, RecordBuilder::at(0), out);
  EXPECT_EQ(cursor.note, 0u);
  correlator_->apply(r.batch, cursor, RecordBuilder::at(2), out);
  EXPECT_EQ(cursor.note, 1u);
  EXPECT_EQ(cursor.event, 1u);
  ASSERT_EQ(out.size(), 1u);
  correlator_->apply(r.batch, cursor, RecordBuilder::at(3.5), out);
  EXPECT_EQ(cursor.note, 2u);
  EXPECT_EQ(cursor.event, 1u);
  correlator_->apply(r.batch, cursor, INT64_MAX, out);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(text(r, out[0]->sender), "s@x");
  EXPECT_TRUE(out[1]->sender.empty());
}

// --- streams

TEST_F(CorrelateTest, FirstMatchingStreamWins) {
  Options options;
  options.streams = {
      {"sasl", "acme", {"shop"}, {}, {}, {}},
      {"both", "acme", {}, {"news.example"}, {}, {"spring"}},
      {"news", "", {}, {"News.Example", ".sub.example"}, {}, {}},
      {"bulk", "globex", {}, {}, {"postfix-bulk"}, {}},
      {"rest", "", {}, {}, {}, {}},
  };
  make(options);
  RecordBuilder r;
  r.note(NoteKind::sasl_user, 1, 0, "shop");
  r.note(NoteKind::begin, 1, 0, "a@news.example");
  r.event(EventKind::delivered, 1, 1, "a@x.example");
  r.note(NoteKind::campaign, 2, 0, "spring");
  r.note(NoteKind::begin, 2, 0, "a@news.EXAMPLE.");
  r.event(EventKind::delivered, 2, 1, "a@x.example");
  r.note(NoteKind::begin, 3, 0, "a@b.sub.example");
  r.event(EventKind::delivered, 3, 1, "a@x.example");
  r.note(NoteKind::begin, 4, 0, "a@sub.example");
  r.event(EventKind::delivered, 4, 1, "a@x.example");
  r.event(EventKind::delivered, 5, 1, "a@x.example");
  r.event(EventKind::delivered, 6, 1, "a@x.example").origin = 0;
  const auto out = run(r);
  const auto stream = [&](std::size_t i) {
    return std::string(names_.text(store::Dictionary::stream, out[i]->stream));
  };
  const auto tenant = [&](std::size_t i) {
    return std::string(names_.text(store::Dictionary::tenant, out[i]->tenant));
  };
  EXPECT_EQ(stream(0), "sasl");
  EXPECT_EQ(tenant(0), "acme");
  EXPECT_EQ(stream(1), "both");
  EXPECT_EQ(stream(2), "news");
  EXPECT_EQ(tenant(2), "");
  EXPECT_EQ(stream(3), "bulk");
  EXPECT_EQ(tenant(3), "globex");
  EXPECT_EQ(stream(4), "bulk") << "an event without entry has its instance";
  EXPECT_EQ(stream(5), "rest");
}

TEST_F(CorrelateTest, AStreamIsFoundAgainWhenMoreIsKnown) {
  Options options;
  options.streams = {{"spring", "", {}, {}, {}, {"spring"}}};
  make(options);
  RecordBuilder r;
  r.note(NoteKind::begin, 1, 0, "s@x");
  r.event(EventKind::deferred, 1, 1, "a@x.example");
  r.note(NoteKind::campaign, 1, 2, "spring");
  r.event(EventKind::delivered, 1, 3, "a@x.example");
  const auto out = run(r);
  EXPECT_EQ(out[0]->stream, 0);
  EXPECT_EQ(names_.text(store::Dictionary::stream, out[1]->stream), "spring");
}

// --- bounds

TEST_F(CorrelateTest, TheOldestEnrichmentMakesRoomButNeverADeferral) {
  Options options;
  options.entries_max = 16;
  make(options);
  RecordBuilder r;
  for (std::uint64_t key = 1; key <= 40; ++key) {
    r.event(EventKind::deferred, 1000 + key, 0, "a@x.example", "450 wait");
  }
  for (std::uint64_t key = 1; key <= 17; ++key) {
    r.note(NoteKind::begin, key, static_cast<double>(key), "s@x");
  }
  for (std::uint64_t key = 1; key <= 17; ++key) r.event(EventKind::delivered, key, 50, "b@x");
  for (std::uint64_t key = 1; key <= 40; ++key) r.note(NoteKind::expired, 1000 + key, 60);
  const auto out = run(r);
  ASSERT_EQ(out.size(), 40u + 17 + 40);
  EXPECT_TRUE(out[40]->sender.empty());
  EXPECT_TRUE(out[41]->sender.empty());
  for (std::size_t i = 42; i < 57; ++i) EXPECT_EQ(text(r, out[i]->sender), "s@x") << i;
  EXPECT_EQ(correlator_->stats().evicted, 2u) << "an eighth of 16";
}

TEST_F(CorrelateTest, EnrichmentOfALostMessageAgesAway) {
  make();
  RecordBuilder r;
  r.note(NoteKind::begin, 1, 0, "s@x");
  r.event(EventKind::deferred, 2, 0, "a@x.example", "450 wait");
  r.note(NoteKind::begin, 3, 5.0 * 86400, "s@x");
  r.event(EventKind::delivered, 4, 6.5 * 86400, "b@x.example");
  r.note(NoteKind::expired, 2, 6.6 * 86400);
  const auto out = run(r);
  EXPECT_EQ(correlator_->stats().evicted, 1u);
  EXPECT_EQ(correlator_->stats().open, 2u);
  EXPECT_EQ(out.size(), 3u);
}

TEST(Fingerprint, IgnoresAngleBracketsAndBlanks) {
  EXPECT_EQ(message_fingerprint("<a@b>"), message_fingerprint(" a@b "));
  EXPECT_NE(message_fingerprint("<a@b>"), message_fingerprint("<a@c>"));
  EXPECT_NE(message_fingerprint(""), 0u);
}

TEST(IndexTable, AgreesWithAMultimap) {
  IndexTable table;
  std::unordered_multimap<std::uint64_t, std::uint32_t> model;
  std::uint64_t seed = 1;
  const auto random = [&](std::uint64_t below) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (seed >> 33) % below;
  };
  std::uint32_t next = 1;
  for (int step = 0; step < 200'000; ++step) {
    const std::uint64_t key = random(3000) << (random(2) * 40);
    const bool grow = (step / 20'000) % 2 == 0;
    if (random(10) < (grow ? 7u : 3u)) {
      table.insert(key, next);
      model.emplace(key, next++);
    } else if (const auto it = model.find(key); it != model.end()) {
      table.erase(key, it->second);
      model.erase(it);
    }
    ASSERT_EQ(table.size(), model.size());
    const std::uint64_t asked = random(3000) << (random(2) * 40);
    const auto [from, to] = model.equal_range(asked);
    if (from != to) {
      ASSERT_NE(table.guess(asked), 0u);
    } else {
      ASSERT_EQ(table.find(asked, [](std::uint32_t) { return false; }), 0u);
    }
    for (auto it = from; it != to; ++it) {
      ASSERT_EQ(table.find(asked, [&](std::uint32_t i) { return i == it->second; }), it->second);
    }
  }
}

}  // namespace
}  // namespace bounced::correlate
