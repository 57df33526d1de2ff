#include "cli/config.h"

#include <gtest/gtest.h>

namespace bounced::cli {
namespace {

TEST(Config, TheDefaultIsTheDefault) {
  const auto config = parse_config(default_config(), "default.toml");
  ASSERT_TRUE(config) << config.error().message();
  const Config plain;
  EXPECT_EQ(config->data_dir, plain.data_dir);
  EXPECT_EQ(config->mode, plain.mode);
  EXPECT_EQ(config->state_memory, plain.state_memory);
  EXPECT_EQ(config->cut_interval_us, plain.cut_interval_us);
  EXPECT_EQ(config->campaign_header, plain.campaign_header);
}

TEST(Config, TheContractsExample) {
  const auto config = parse_config(R"(
data_dir = "/var/lib/bounced"
mode     = "observe"
[[tail]]
name = "edge"
paths = ["/var/log/mail.log"]
format = "auto"
[[stream]]
name = "bulk"
sender_domains = ["news.example.com"]
[http]
listen = "127.0.0.1:8025"
[[webhook]]
provider = "sendgrid"
path = "/hooks/sendgrid"
secrets = ["file:/etc/bounced/sendgrid.pub"]
)",
                                   "b.toml");
  ASSERT_TRUE(config) << config.error().message();
  ASSERT_EQ(config->tails.size(), 1u);
  EXPECT_EQ(config->tails[0].name, "edge");
  ASSERT_EQ(config->streams.size(), 1u);
  EXPECT_TRUE(config->serve_http);
  EXPECT_EQ(config->http.listen, std::vector<std::string>{"127.0.0.1:8025"});
  ASSERT_EQ(config->webhooks.size(), 1u);
  EXPECT_EQ(config->webhooks[0].name, "sendgrid");
  EXPECT_EQ(config->webhooks[0].secrets.front(), "file:/etc/bounced/sendgrid.pub") << "not read";
}

TEST(Config, MailsThatComeBack) {
  const auto config = parse_config(R"(
[[maildir]]
path = "/var/mail/bounces"
[[maildir]]
name = "fbl"
path = "/var/mail/fbl"
after = "leave"
poll = "5s"
[[mbox]]
path = "/var/mail/returns"
settle = "5s"
[mail]
sent_days = 10
sent_recipients = true
trust_logged_reports = true
)",
                                   "b.toml");
  ASSERT_TRUE(config) << config.error().message();
  ASSERT_EQ(config->maildirs.size(), 2u);
  EXPECT_EQ(config->maildirs[0].name, "maildir1");
  EXPECT_FALSE(config->maildirs[0].leave);
  EXPECT_EQ(config->maildirs[1].path, "/var/mail/fbl");
  EXPECT_TRUE(config->maildirs[1].leave);
  EXPECT_EQ(config->maildirs[1].poll_us, 5'000'000);
  ASSERT_EQ(config->mboxes.size(), 1u);
  EXPECT_EQ(config->mboxes[0].name, "mbox1");
  EXPECT_EQ(config->mboxes[0].path, "/var/mail/returns");
  EXPECT_EQ(config->mboxes[0].settle_us, 5'000'000);
  EXPECT_EQ(config->mboxes[0].poll_us, 1'000'000);
  const pipeline::Options options = engine_options(*config);
  EXPECT_TRUE(options.sent_recipients && options.trust_logged_reports);
  for (const char* text :
       {"[[maildir]]\nname = \"x\"", "[[maildir]]\npath = \"/x\"\nafter = \"burn\"",
        "[[maildir]]\npath = \"/x\"\n[[maildir]]\npath = \"/x\"", "[[mbox]]\nname = \"x\"",
        "[[mbox]]\npath = \"/x\"\nafter = \"seen\"",
        "[[mbox]]\npath = \"/x\"\n[[mbox]]\npath = \"/x\""}) {
    const auto bad = parse_config(text, "b.toml");
    ASSERT_FALSE(bad) << text;
    EXPECT_NE(bad.error().message().find("b.toml:"), std::string::npos) << bad.error().message();
  }
}

TEST(Config, ErrorsNameLineAndNearestKey) {
  struct Bad {
    const char* text;
    const char* where;
    const char* says;
  };
  for (const Bad& bad :
       {Bad{"data_dirr = \"x\"", "b.toml:1", "data_dir"},
        Bad{"\n[[tail]]\npaths = [\"x\"]\nformaat = \"auto\"", "b.toml:4", "format"},
        Bad{"mode = \"sometimes\"", "b.toml:1", "observe enforce"},
        Bad{"workers = -1", "b.toml:1", "0 to 256"},
        Bad{"state_memory = \"lots\"", "b.toml:1", "512MiB"},
        Bad{"[[tail]]\nname = \"a\"", "b.toml:1", "paths"},
        Bad{"[[tail]]\npaths = [\"x\"]\ntimezone = \"Mars\"", "b.toml:3", "IANA"},
        Bad{"[http]\nlisen = \"x\"", "b.toml:2", "listen"},
        Bad{"[http]\ntrusted_proxies = [\"x\"]", "b.toml:2", "no IP address"},
        Bad{"[[webhook]]\nprovider = \"sendgird\"\npath = \"/x\"", "b.toml:2", "sendgrid"},
        Bad{"[[webhook]]\nprovider = \"sendgrid\"\npath = \"x\"", "b.toml:1", "/hooks/"},
        Bad{"[[webhook]]\nprovider = \"sendgrid\"\npath = \"/x\"\nsecret = \"\"", "b.toml:4",
            "secrets"},
        Bad{"[tail]\npaths = [\"x\"]", "b.toml:1", "[[tail]]"},
        Bad{"x = ", "b.toml:1", ""},
        Bad{"data_dir = \"\"", "b.toml:1", "empty"},
        Bad{"\n[relay]\nnetworks = [\"10.0.0.0/33\"]", "b.toml:3", "10.0.0.0/33"},
        Bad{"[relay]\nnetworks = [\"10.0.0.0/\"]", "b.toml:2", "192.0.2.0/24"},
        Bad{"sending_ips = [\"192.0.2.0/24\"]", "b.toml:1", "192.0.2.0/24"},
        Bad{"cut_interval = \"0s\"", "b.toml:1", "250ms"},
        Bad{"[[tail]]\npaths = [\"\"]", "b.toml:2", "empty"}}) {
    const auto config = parse_config(bad.text, "b.toml");
    ASSERT_FALSE(config) << bad.text;
    const std::string message = config.error().message();
    EXPECT_NE(message.find(bad.where), std::string::npos) << message;
    EXPECT_NE(message.find(bad.says), std::string::npos) << message;
  }
}

TEST(Config, Networks) {
  const auto config = parse_config(
      "sending_ips = [\"192.0.2.1\", \"2001:db8::1\"]\n"
      "[relay]\nnetworks = [\"10.0.0.0/8\", \"192.0.2.7\", \"2001:db8::/32\", \"0.0.0.0/0\"]",
      "b.toml");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->relay_networks.size(), 4u);
}

TEST(Config, AFileThatCannotBeRead) {
  for (const char* file : {"/nonexistent/b.toml", "/tmp"}) {
    const auto config = load_config(file);
    ASSERT_FALSE(config) << file;
    EXPECT_EQ(config.error().exit_status(), 3) << config.error().message();
  }
}

TEST(Config, Sizes) {
  EXPECT_EQ(*parse_bytes("512MiB"), 512u << 20);
  EXPECT_EQ(*parse_bytes("4 GiB"), std::uint64_t{4} << 30);
  EXPECT_FALSE(parse_bytes("1125899906842624GiB")) << "more than 64 bits";
  EXPECT_EQ(*parse_bytes("1000"), 1000u);
  for (const char* bad : {"", "x", "5 parsecs", "-1"}) EXPECT_FALSE(parse_bytes(bad)) << bad;
}

}  // namespace
}  // namespace bounced::cli
