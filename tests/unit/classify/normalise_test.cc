// The normaliser: what becomes of every kind of token, and that it is idempotent.
#include "classify/normalise.h"

#include <gtest/gtest.h>
#include <unistr.h>

#include <random>

#include "bounced/limits.h"
#include "classify/fold.h"
#include "classify/lower.h"
#include "fixtures.h"

namespace bounced::classify {
namespace {

std::string normal(std::string_view raw, std::uint16_t code = 0) {
  Normaliser normaliser;
  Normalised out;
  normaliser.run(raw, code, out);
  return std::string(out.text);
}

Normalised parts(std::string_view raw, std::uint16_t code = 0) {
  static Normaliser normaliser;
  Normalised out;
  normaliser.run(raw, code, out);
  return out;
}

TEST(Normalise, PlainWords) {
  EXPECT_EQ(normal(""), "");
  EXPECT_EQ(normal("   "), "");
  EXPECT_EQ(normal("User  Unknown\t in\r\n table "), "user unknown in table");
  EXPECT_EQ(normal(std::string(300, 'A')), std::string(300, 'a'));
  EXPECT_EQ(normal(std::string("a\0b", 3)), "a b");
}

TEST(Normalise, Addresses) {
  EXPECT_EQ(normal("<Jane.Doe+x@Shop.Example>: user unknown"), "<{addr}>: user unknown");
  EXPECT_EQ(normal("no such user 'jane@shop.example'."), "no such user '{addr}'.");
  EXPECT_EQ(normal("account (a@b.example) [-5]"), "account ({addr}) [-5]");
  EXPECT_EQ(normal("b+m1=list=mary.jane@bounce.esp.example said"), "{addr} said");
  EXPECT_EQ(normal("user@[192.0.2.1] x"), "{addr} x");
  EXPECT_EQ(normal("\"odd\"@b.example"), "{addr}");
  EXPECT_EQ(normal("mailto:a@b.example,c@d.example"), "mailto:{addr},{addr}");
  EXPECT_EQ(normal("http://x.example/?email=a@b.example"), "http://x.example/?{addr}");
  EXPECT_EQ(normal("@ alone, a@ and @b"), "@ alone, a@ and @b");
}

TEST(Normalise, IpAddresses) {
  EXPECT_EQ(normal("client [192.0.2.7] blocked, 192.0.2.7:25"), "client [{ip}] blocked, {ip}:25");
  EXPECT_EQ(normal("2001:db8::1 and [::1] and 2001:db8:0:0:0:0:0:1."), "{ip} and [{ip}] and {ip}.");
  EXPECT_EQ(normal("ip=198.18.255.9&c=quot"), "ip={ip}&c=quot");
  EXPECT_EQ(normal("9.255.18.198.zen.spamhaus.org"), "{ip}.zen.spamhaus.org");
  EXPECT_EQ(normal("version 1.2.3.4.5, 300.1.1.1"), "version 1.2.3.4.5, 300.1.1.1");
  Normaliser ours(SendingIps({"192.0.2.7", "2001:db8::1", "nonsense"}));
  Normalised out;
  ours.run("[192.0.2.7] [192.0.2.8] 2001:DB8:0::1", 0, out);
  EXPECT_EQ(out.text, "[{our_ip}] [{ip}] {our_ip}");
}

TEST(Normalise, IdsGoShortCodesStay) {
  EXPECT_EQ(normal("queued as 4jX42z56FNz1c0Ht"), "queued as {id}");
  EXPECT_EQ(normal("az10-20020a056402354f00b00548d4febb0bsi965249edd.614 - gsmtp"), "{id} - gsmtp");
  EXPECT_EQ(normal("denied...7d39d5299584f4be1611..."), "denied...{id}...");
  EXPECT_EQ(normal("(S3150) [TSS04] BL21 AS(42003) OFR_416 [416] HT204137 BL000000 C14"),
            "(s3150) [tss04] bl21 as(42003) ofr_416 [416] ht204137 bl000000 c14");
  EXPECT_EQ(normal("SMTPUTF8 8BITMIME RFC5321 SHA256"), "smtputf8 8bitmime rfc5321 sha256");
  EXPECT_EQ(normal("size 12345678 over 99999"), "size {id} over 99999");
  EXPECT_EQ(normal("retry in 287 seconds"), "retry in {id} seconds");
  EXPECT_EQ(normal("2023-01-01T00:00:00.001Z 12:30:01 9:05 2026-11-21"),
            "{time} {time} {time} {time}");
}

TEST(Normalise, HostNames) {
  EXPECT_EQ(normal("mta443.mail.bf1.yahoo.com"), "{host}.yahoo.com");
  EXPECT_EQ(normal("[VI1EUR04FT017.eop-eur04.prod.protection.outlook.com]"),
            "[{host}.prod.protection.outlook.com]");
  EXPECT_EQ(normal("listed at zen.spamhaus.org, dnsbl-1.uceprotect.net"),
            "listed at zen.spamhaus.org, {host}.uceprotect.net");
  EXPECT_EQ(normal("connect to mx.shop.example[192.0.2.1]:25: Connection refused"),
            "connect to {host}[{ip}]:25: connection refused");
  EXPECT_EQ(normal("Name service error for name=gone.example type=MX: Host not found"),
            "name service error for name={host} type=mx: host not found");
  EXPECT_EQ(normal("see https://support.google.com/mail/?p=NoSuchUser now"),
            "see https://support.google.com/mail/?p=nosuchuser now");
}

TEST(Normalise, CodesAreTakenOff) {
  const Normalised one = parts("550 5.1.1 User unknown");
  EXPECT_EQ(one.text, "user unknown");
  EXPECT_EQ(one.smtp_code, 550);
  EXPECT_EQ(one.enhanced, (EnhancedCode{1, 1, 5}));
  EXPECT_EQ(normal("550 #5.1.0 Address rejected."), "address rejected.");
  EXPECT_EQ(normal("554 554 5.7.0 Header error"), "header error");
  EXPECT_EQ(normal("smtp; 550-5.7.1 [192.0.2.1 13] Messages"), "[{ip} 13] messages");
  const Normalised qmail = parts("Sorry, no mailbox here by that name. (#5.1.1)");
  EXPECT_EQ(qmail.enhanced, (EnhancedCode{1, 1, 5}));
  EXPECT_EQ(parts("5500 5.1.1 four digits").smtp_code, 0);
  const Normalised bare = parts("421");
  EXPECT_EQ(bare.smtp_code, 421);
  EXPECT_EQ(bare.text, "");
}

TEST(Normalise, ReplyLinesAreJoined) {
  EXPECT_EQ(normal("550-5.1.1 The email account that you tried to reach does not exist. Please try "
                   "550-5.1.1 double-checking the address. Learn more at "
                   "550 5.1.1 https://support.google.com/mail/?p=NoSuchUser a1-2002 - gsmtp"),
            "the email account that you tried to reach does not exist. please try double-checking "
            "the address. learn more at https://support.google.com/mail/?p=nosuchuser a1-2002 - "
            "gsmtp");
  EXPECT_EQ(
      normal("554-gmx.net (mxgmx116) Service not available 554-No SMTP service 554-IP address "
             "is black listed. 554 For explanation visit x"),
      "gmx.net (mxgmx116) service not available no smtp service ip address is black listed. "
      "for explanation visit x");
  // The log has told the code apart: the text starts inside the first line.
  EXPECT_EQ(normal("Please turn on 550-mail0 is not", 550), "please turn on mail0 is not");
  EXPECT_EQ(normal("550- 550- 550 end"), "end");
  const Normalised mixed = parts("450-4.2.0 first 550 5.1.1 last");
  EXPECT_EQ(mixed.smtp_code, 550);
  EXPECT_EQ(mixed.enhanced, (EnhancedCode{1, 1, 5}));
  EXPECT_TRUE(mixed.mixed);
}

TEST(Normalise, WrappingGoes) {
  const Normalised postfix = parts(
      "host mx1.shop.example[192.0.2.1] said: 550 5.1.1 <a@b.example>: no (in reply to RCPT TO "
      "command)");
  EXPECT_EQ(postfix.text, "<{addr}>: no");
  EXPECT_EQ(postfix.smtp_code, 550);
  EXPECT_EQ(postfix.phase, Phase::rcpt);
  const Normalised refused = parts(
      "delivery temporarily suspended: host a.example[192.0.2.1] refused to talk to me: 421 Busy");
  EXPECT_EQ(refused.text, "busy");
  EXPECT_EQ(refused.phase, Phase::connect);
  const Normalised exim = parts(
      "SMTP error from remote mail server after RCPT TO:<a@b.example>: host mx.example "
      "[192.0.2.1]: "
      "452 4.2.2 Full");
  EXPECT_EQ(exim.text, "full");
  EXPECT_EQ(exim.smtp_code, 452);
  EXPECT_EQ(exim.phase, Phase::rcpt);
}

TEST(Normalise, QuotedRepliesAreEvidenceOnly) {
  const Normalised n =
      parts("450 4.1.1 unverified address: host mx.example[192.0.2.1] said: 550 5.1.1 unknown");
  EXPECT_EQ(n.smtp_code, 450);
  EXPECT_EQ(n.enhanced, (EnhancedCode{1, 1, 4}));
  EXPECT_EQ(n.nested_smtp, 550);
  EXPECT_EQ(n.nested_enhanced, (EnhancedCode{1, 1, 5}));
  EXPECT_EQ(n.text, "unverified address: host {host}[{ip}] said: unknown");
}

TEST(Normalise, TextBeyondAscii) {
  EXPECT_EQ(normal("Empf\xc3\x84nger UNBEKANNT"), "empf\xc3\xa4nger unbekannt");
  EXPECT_EQ(normal("Empfa\xcc\x88"
                   "nger"),
            "empf\xc3\xa4nger");  // decomposed
  EXPECT_EQ(normal("Empf\xe4"
                   "nger"),
            "empf\xc3\xa4nger");                                // Latin-1
  EXPECT_EQ(normal("Empf\\303\\244nger"), "empf\xc3\xa4nger");  // octal escapes
  EXPECT_EQ(normal("line one\\nline#012two"), "line one line two");
  EXPECT_EQ(normal("a\xc2\xa0\xe2\x80\x83 b\xe2\x80\x8b"
                   "c"),
            "a bc");  // blanks, zero width
  EXPECT_EQ(normal("\xd0\x9f\xd0\x9e\xd0\xa7\xd0\xa2\xd0\x90"),
            "\xd0\xbf\xd0\xbe\xd1\x87\xd1\x82\xd0\xb0");
  EXPECT_EQ(normal("dom\\user"), "dom/user");
}

TEST(Normalise, AllVectorWidthsAgree) {
  std::mt19937 random(3);
  for (int round = 0; round < 500; ++round) {
    std::string text(64 * 3, ' ');
    for (char& c : text) c = static_cast<char>(round % 2 == 0 ? random() % 128 : random() % 256);
    std::string first;
    std::uint64_t first_bits[6] = {};
    for (const LowerBlocks lower : all_lower_blocks()) {
      std::string low(64 * 3, '\0');
      std::uint64_t bits[6] = {};
      Scan scan{bits, bits + 3};
      lower(text.data(), low.data(), 0, 3, scan);
      if (first.empty()) {
        first = low;
        std::copy(bits, bits + 6, first_bits);
      }
      ASSERT_EQ(low, first);
      ASSERT_TRUE(std::equal(bits, bits + 6, first_bits));
      ASSERT_EQ(scan.at != 0, text.find('@') != std::string::npos);
      ASSERT_EQ(scan.hash != 0, text.find('#') != std::string::npos);
      ASSERT_EQ(scan.foreign != 0, std::any_of(text.begin(), text.end(), [](char c) {
                  return static_cast<unsigned char>(c) >= 0x80 || c == '\\';
                }));
    }
  }
}

void expect_idempotent(std::string_view raw, std::uint16_t code) {
  const std::string once = normal(raw, code);
  ASSERT_EQ(u8_check(reinterpret_cast<const std::uint8_t*>(once.data()), once.size()), nullptr)
      << raw;
  ASSERT_EQ(normal(once, code), once) << "from: " << raw;
}

TEST(Normalise, IdempotentOnRealDiagnostics) {
  if (testing::real_diagnostics().empty()) GTEST_SKIP() << "no ../shared/data/mta";
  for (const auto& d : testing::real_diagnostics()) expect_idempotent(d.text, 0);
}

TEST(Normalise, IdempotentOnRandomMixtures) {
  const std::vector<std::string> pieces = {"550",
                                           "550-",
                                           "5.1.1",
                                           "550-5.1.1",
                                           "421 4.7.0",
                                           " ",
                                           " ",
                                           "-",
                                           ".",
                                           ":",
                                           "::",
                                           "@",
                                           "a@b.c",
                                           "1.2.3.4",
                                           "[",
                                           "]",
                                           "said:",
                                           "host",
                                           "said: ",
                                           "smtp;",
                                           "x.y[1.2.3.4]",
                                           "(in reply to RCPT TO command)",
                                           "name=",
                                           "seconds",
                                           "12",
                                           "12:30",
                                           "{id}",
                                           "{addr}",
                                           "abc123def456",
                                           "s3150",
                                           "\\",
                                           "\\n",
                                           "#012",
                                           "\xc3\x84",
                                           "\xe4",
                                           "\"",
                                           "\t",
                                           "=",
                                           "refused to talk to me: ",
                                           "delivery temporarily suspended: ",
                                           "2026-11-21",
                                           "T",
                                           "z",
                                           "host a[",
                                           "http://",
                                           "/",
                                           "_",
                                           "+",
                                           "#",
                                           "(",
                                           ")",
                                           ",",
                                           "SMTP error from remote mail server after ",
                                           "f"};
  std::mt19937 random(20261121);
  for (int round = 0; round < 60'000; ++round) {
    std::string text;
    const auto count = random() % 12;
    for (unsigned i = 0; i < count; ++i) text += pieces[random() % pieces.size()];
    expect_idempotent(text, random() % 2 == 0 ? 550 : 0);
    if (HasFatalFailure()) return;
  }
}

TEST(Normalise, IdempotentOnRandomBytes) {
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string text(random() % 200, ' ');
    const unsigned range = round % 2 == 0 ? 256 : 96;
    for (char& c : text) c = static_cast<char>((range == 96 ? 32 : 0) + random() % range);
    expect_idempotent(text, 0);
    if (HasFatalFailure()) return;
  }
}

TEST(Normalise, HostileSizes) {
  for (const std::string_view unit :
       {"a@b ", "::1 ", "a.bc[", "1:23 ", "550 5.1.1 ", "550-", "{id} ", "\xc3\x84", "\\",
        "said: ", "host a[1.2.3.4] said: "}) {
    std::string text;
    while (text.size() < limits::kDiagnosticBytesMax) text += unit;
    expect_idempotent(text, 0);
  }
}

}  // namespace
}  // namespace bounced::classify
