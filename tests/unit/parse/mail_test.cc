// Mails that come back: the lab's 250 notifications against the truth, and what each kind becomes.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/block.h"
#include "base/text.h"
#include "parse/mail/delivery_status.h"
#include "parse/mail/fields.h"
#include "parse/mail/mail.h"
#include "parse/mail/verp.h"

namespace bounced {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Taken {
  explicit Taken(std::string_view mail, parse::mail::VerpOptions verp = {}) : pool(1, 64) {
    parse::Context context;
    context.hasher = &hasher;
    context.verp = std::move(verp);
    batch.block = pool.take();
    batch.block->size = 0;
    parse::take_mail(context, mail, 0, 0, batch);
  }
  ~Taken() { batch.clear(); }
  Taken(const Taken&) = delete;
  Taken& operator=(const Taken&) = delete;
  std::string_view text(Text t) const { return t.empty() ? std::string_view{} : batch.view(t); }
  AddressHasher hasher;
  BlockPool pool;
  Batch batch;
};

struct Truth {
  std::string final_recipient, original_recipient, action, status, diagnostic, remote_mta;
};

std::string text_of(simdjson::dom::element line, const char* name) {
  std::string_view text;
  return line[name].get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

std::string without_type(const std::string& text) {
  const auto semicolon = text.find(';');
  return parse::mail::collapse(semicolon == std::string::npos ? text : text.substr(semicolon + 1));
}

std::map<std::string, std::vector<Truth>> read_truth(const fs::path& path) {
  std::map<std::string, std::vector<Truth>> truth;
  simdjson::dom::parser parser;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    simdjson::dom::element e;
    bool kept = false;
    if (parser.parse(line).get(e) != simdjson::SUCCESS) continue;
    if (e["kept"].get(kept) != simdjson::SUCCESS || !kept) continue;
    truth[fs::path(text_of(e, "eml")).filename().string()].push_back(
        {text_of(e, "final_recipient"), without_type(text_of(e, "original_recipient")),
         text_of(e, "action"), text_of(e, "status"), without_type(text_of(e, "diagnostic")),
         without_type(text_of(e, "remote_mta"))});
  }
  return truth;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

void expect_equal(const Taken& taken, const Event& event, const Truth& truth) {
  const std::string sent_to =
      truth.original_recipient.empty() ? truth.final_recipient : truth.original_recipient;
  EXPECT_EQ(taken.text(event.recipient), sent_to);
  EXPECT_EQ(event.enhanced, parse::mail::read_status(truth.status));
  // The truth's reader replaced what is no UTF-8.
  if (!truth.diagnostic.empty() && is_ascii(truth.diagnostic)) {
    EXPECT_EQ(taken.text(event.diagnostic), truth.diagnostic);
  }
  if (!truth.remote_mta.empty()) {
    EXPECT_EQ(taken.text(event.mta_host), truth.remote_mta);
  }
  const bool failed = event.kind == EventKind::bounced || event.kind == EventKind::expired;
  EXPECT_EQ(failed, truth.action == "failed");
  EXPECT_EQ(event.kind == EventKind::delivered, truth.action == "delivered");
  EXPECT_EQ(event.kind == EventKind::relayed,
            truth.action == "relayed" || truth.action == "expanded");
  EXPECT_TRUE(event.has(EventFlags::kUnproven));
  EXPECT_FALSE(event.message_id.empty());
}

void compare_with_truth(const std::string& mta, std::size_t mails) {
  const fs::path data = fs::path(BOUNCED_SOURCE_DIR) / "../shared/data/mta";
  if (!fs::exists(data)) GTEST_SKIP() << "the sample mails are not beside the checkout";
  const auto truth = read_truth(data / ("truth-" + mta + "-dsn.jsonl"));
  ASSERT_EQ(truth.size(), mails);
  for (const auto& [name, blocks] : truth) {
    SCOPED_TRACE(mta + "/" + name);
    const Taken taken(read_file(data / ("dsn-" + mta) / name));
    ASSERT_EQ(taken.batch.events.size(), blocks.size());
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      expect_equal(taken, taken.batch.events.data()[i], blocks[i]);
    }
  }
}

TEST(Mail, EveryNotificationOfPostfixEqualsTheTruth) {
  compare_with_truth("postfix", 150);
}
TEST(Mail, EveryNotificationOfEximEqualsTheTruth) {
  compare_with_truth("exim", 100);
}

// --- return paths -------------------------------------------------------------------------------

TEST(Verp, NamesTheRecipient) {
  const parse::mail::VerpOptions usual;
  EXPECT_EQ(decode_verp(usual, "bounce+ann=corp.example@esp.example").recipient,
            "ann@corp.example");
  EXPECT_EQ(decode_verp(usual, "bounce+ann+tag=corp.example@esp.example").recipient,
            "ann+tag@corp.example");
  EXPECT_EQ(decode_verp(usual, "b+m17@esp.example").recipient, "");
  EXPECT_EQ(decode_verp(usual, "b+x=nodomain@esp.example").recipient, "");
  EXPECT_FALSE(decode_verp(usual, "bounce+ann=corp.example@esp.example").proven);
}

TEST(Verp, OnlyTheRightHmacOfTheSameRecipientProves) {
  parse::mail::VerpOptions options;
  options.secrets = {"the new secret of 2026", "the old secret of 2025"};
  const std::string hmac = parse::mail::verp_hmac(options.secrets[1], "Ann@Corp.Example");
  ASSERT_EQ(hmac.size(), 16u);
  const auto decode = [&](const std::string& path) { return decode_verp(options, path); };
  EXPECT_TRUE(decode("b+" + hmac + "+ann=corp.example@esp.example").proven);
  EXPECT_EQ(decode("b+" + hmac + "+ann=corp.example@esp.example").recipient, "ann@corp.example");
  EXPECT_FALSE(decode("b+" + hmac + "+bob=corp.example@esp.example").proven);
  EXPECT_FALSE(decode("b+" + hmac.substr(0, 8) + "+ann=corp.example@esp.example").proven);
  options.patterns = {"r.{domain}.{hmac}.{local}@in.example"};
  EXPECT_TRUE(decode("r.corp.example." + hmac + ".ann@in.example").proven);
  EXPECT_EQ(decode("other+ann=corp.example@in.example").recipient, "");
}

TEST(Verp, PatternsThatCannotWorkAreToldSo) {
  EXPECT_EQ(parse::mail::check_verp_pattern("b+{hmac}+{local}={domain}@x.example"), "");
  for (const char* bad : {"b@x", "{local}{domain}@x", "{local}={domain}", "{locale}={domain}@x",
                          "{local}={domain@x"}) {
    EXPECT_NE(parse::mail::check_verp_pattern(bad), "") << bad;
  }
}

std::string dsn_to(const std::string& return_path, const std::string& recipient) {
  return "From: MAILER-DAEMON@x.example\nTo: " + return_path +
         "\nSubject: Undelivered\nMIME-Version: 1.0\n"
         "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
         "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x.example\n\n"
         "Final-Recipient: rfc822; " +
         recipient + "\nAction: failed\nStatus: 5.1.1\n\n--b--\n";
}

TEST(Mail, ASignedReturnPathProvesItsOwnRecipientOnly) {
  parse::mail::VerpOptions verp;
  verp.secrets = {"the secret of this store"};
  const std::string path = "b+" + parse::mail::verp_hmac(verp.secrets[0], "ann@corp.example") +
                           "+ann=corp.example@e.example";
  const Taken good(dsn_to(path, "ann@corp.example"), verp);
  ASSERT_EQ(good.batch.events.size(), 1u);
  EXPECT_FALSE(good.batch.events.data()[0].has(EventFlags::kUnproven));
  const Taken forged(dsn_to(path, "victim@corp.example"), verp);
  ASSERT_EQ(forged.batch.events.size(), 1u);
  EXPECT_TRUE(forged.batch.events.data()[0].has(EventFlags::kUnproven));
}

// --- what is no bounce --------------------------------------------------------------------------

TEST(Mail, AutoRepliesOfManyLanguagesAreNoBounces) {
  for (const char* subject :
       {"Out of Office: Offers", "Automatic reply: Offers", "Abwesenheitsnotiz",
        "Automatische Antwort: X", "R\u00e9ponse automatique : X", "Respuesta autom\u00e1tica: X",
        "Risposta automatica: X", "Resposta autom\u00e1tica: X", "Automatisch antwoord: X",
        "Autosvar: X",
        "\u0410\u0432\u0442\u043e\u043c\u0430\u0442\u0438\u0447\u0435\u0441\u043a\u0438\u0439 "
        "\u043e\u0442\u0432\u0435\u0442: X",
        "\u81ea\u52d5\u8fd4\u4fe1", "\u81ea\u52a8\u56de\u590d: X",
        "Automatyczna odpowied\u017a: X"}) {
    const Taken taken(std::string("From: Ann <ann@corp.example>\nTo: b@e.example\nSubject: ") +
                      subject + "\n\nI am away until 550 o'clock; write to bob@corp.example.\n");
    ASSERT_EQ(taken.batch.events.size(), 1u) << subject;
    EXPECT_EQ(taken.batch.events.data()[0].kind, EventKind::autoreplied) << subject;
    EXPECT_EQ(taken.text(taken.batch.events.data()[0].recipient), "ann@corp.example");
  }
}

TEST(Mail, OrdinaryMailsTellNothing) {
  const Taken taken(
      "From: Ann <ann@corp.example>\nTo: b@e.example\nSubject: Re: Undelivered parcel\n"
      "In-Reply-To: <1@e.example>\n\nThe parcel was returned. > 550 5.1.1 said bob@corp.example\n");
  EXPECT_EQ(taken.batch.events.size(), 0u);
  EXPECT_EQ(taken.batch.counts.ignored, 1u);
}

TEST(Mail, ANoticeThatNamesNobodyIsCounted) {
  const Taken taken(
      "From: MAILER-DAEMON@x.example\nTo: b@e.example\nSubject: failure notice\n\n"
      "Your message could not be delivered.\n");
  EXPECT_EQ(taken.batch.events.size(), 0u);
  EXPECT_EQ(taken.batch.counts.unparsed, 1u);
}

TEST(Mail, ARedactedComplaintIsCountedAndKeepsItsMessage) {
  const Taken taken(
      "From: fbl@isp.example\nTo: fbl@e.example\nSubject: FW\nMIME-Version: 1.0\n"
      "Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n"
      "--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n\n"
      "--b\nContent-Type: message/rfc822\n\nMessage-ID: <m1@e.example>\nTo: "
      "redacted@isp.example\n\nx\n"
      "--b--\n");
  ASSERT_EQ(taken.batch.events.size(), 1u);
  EXPECT_EQ(taken.batch.events.data()[0].kind, EventKind::complained);
  EXPECT_TRUE(taken.batch.events.data()[0].recipient.empty());
  EXPECT_EQ(taken.text(taken.batch.events.data()[0].message_id), "<m1@e.example>");
  EXPECT_EQ(taken.batch.counts.bad_recipient, 1u);
}

TEST(Mail, DeepMultipartsAreNoTrap) {
  std::string mail = "From: a@b.example\nMIME-Version: 1.0\n";
  for (int i = 0; i < 4000; ++i) {
    mail += "Content-Type: multipart/mixed; boundary=b" + std::to_string(i) + "\n\n--b" +
            std::to_string(i) + "\n";
  }
  const Taken taken(mail);
  EXPECT_EQ(taken.batch.counts.lines, 1u);
}

}  // namespace
}  // namespace bounced
