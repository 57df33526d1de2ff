// verify() on requests that another implementation signed, and what Endpoint::make() refuses.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <fstream>

#include "providers_helper.h"

namespace bounced::parse::providers {
namespace {

using simdjson::dom::element;
using testing::Post;

std::string text_of(const element& object, const char* name, std::string otherwise = {}) {
  std::string_view text;
  return object[name].get(text) == simdjson::SUCCESS ? std::string(text) : std::move(otherwise);
}

std::vector<std::string> list_of(const element& object, const char* name) {
  std::vector<std::string> texts;
  simdjson::dom::array array;
  if (object[name].get(array) != simdjson::SUCCESS) return texts;
  for (const element item : array) texts.emplace_back(item.get_string().value());
  return texts;
}

EndpointConfig config_of(const element& object) {
  EndpointConfig config;
  config.provider = text_of(object, "provider");
  config.secrets = list_of(object, "secrets");
  config.topics = list_of(object, "topics");
  config.certificates = list_of(object, "certificates");
  config.basic_auth = text_of(object, "basic_auth");
  config.bearer = text_of(object, "bearer");
  config.auth_header = text_of(object, "auth_header");
  config.auth_value = text_of(object, "auth_value");
  config.networks = list_of(object, "networks");
  std::int64_t window_s = 0;
  if (object["replay_window_s"].get(window_s) == simdjson::SUCCESS) {
    config.replay_window_us = window_s * kSecondUs;
  }
  return config;
}

Post post_of(const element& object) {
  Post post;
  post.method = text_of(object, "method", post.method);
  post.target = text_of(object, "target", post.target);
  post.url = text_of(object, "url", post.url);
  post.body = text_of(object, "body");
  post.remote_ip = text_of(object, "remote_ip", post.remote_ip);
  simdjson::dom::object headers;
  if (object["headers"].get(headers) == simdjson::SUCCESS) {
    for (const auto field : headers) {
      post.headers.emplace_back(field.key, field.value.get_string().value());
    }
  }
  return post;
}

Check verify(const Endpoint& endpoint, const Post& post, std::string& why) {
  return post.with([&](const Request& request) { return endpoint.verify(request, why); });
}

TEST(ProviderSignatures, OfAnotherImplementation) {
  std::ifstream in(BOUNCED_SOURCE_DIR "/tests/golden/providers/signatures.jsonl");
  ASSERT_TRUE(in);
  simdjson::dom::parser parser;
  std::size_t cases = 0;
  for (std::string line; std::getline(in, line); ++cases) {
    element given;
    ASSERT_EQ(parser.parse(line).get(given), simdjson::SUCCESS);
    const EndpointConfig config = config_of(given["config"].value());
    auto endpoint = Endpoint::make(config);
    ASSERT_TRUE(endpoint) << line << endpoint.error().message();
    Post post = post_of(given["request"].value());
    post.now_us = given["now"].get_int64().value() * kSecondUs;
    std::string why;
    const std::string name = text_of(given, "name");
    EXPECT_EQ(to_string(verify(*endpoint, post, why)), text_of(given, "expect")) << name << why;
    EXPECT_EQ(why.empty(), text_of(given, "expect") == "ok") << name;
    for (const std::string& secret : config.secrets) {
      EXPECT_EQ(why.find(secret), std::string::npos) << name;
    }
  }
  EXPECT_GE(cases, 90u);
}

TEST(ProviderSignatures, ATokenIsGoodForOneBody) {
  EndpointConfig config;
  config.provider = "mailgun";
  config.secrets = {"key"};
  auto endpoint = Endpoint::make(config);
  ASSERT_TRUE(endpoint);
  Post post;
  post.body = R"({"event-data":{"event":"opened"}})";
  const auto made =
      post.with([](const Request& request) { return sign("mailgun", "key", request); });
  ASSERT_TRUE(made);
  post.body = made->body;
  std::string why;
  EXPECT_EQ(verify(*endpoint, post, why), Check::ok);
  EXPECT_EQ(verify(*endpoint, post, why), Check::ok) << "the same told again: " << why;
  post.body.insert(post.body.size() - 1, R"(,"x":1)");
  EXPECT_EQ(verify(*endpoint, post, why), Check::bad);
}

TEST(ProviderSignatures, WhatSignMakesVerifies) {
  for (const char* provider : {"mailgun", "mailersend", "mailtrap", "generic", "zeptomail",
                               "unisender", "mandrill", "resend"}) {
    const std::string secret = std::string_view(provider) == "resend" ? "whsec_c2VjcmV0" : "key";
    EndpointConfig config;
    config.provider = provider;
    config.secrets = {secret};
    auto endpoint = Endpoint::make(config);
    ASSERT_TRUE(endpoint);
    Post post;
    post.body =
        std::string_view(provider) == "mandrill" ? "mandrill_events=%5B%7B%7D%5D" : "{\"a\":1}";
    const auto made =
        post.with([&](const Request& request) { return sign(provider, secret, request); });
    ASSERT_TRUE(made) << provider;
    post.body = made->body;
    for (const auto& header : made->headers) post.headers.push_back(header);
    std::string why;
    EXPECT_EQ(verify(*endpoint, post, why), Check::ok) << provider << ' ' << why;
    config.secrets = {std::string_view(provider) == "resend" ? "whsec_AAAA" : "other"};
    endpoint = Endpoint::make(config);
    ASSERT_TRUE(endpoint);
    EXPECT_EQ(verify(*endpoint, post, why), Check::bad) << provider;
  }
}

TEST(ProviderSignatures, ConfigurationsThatProtectNothingAreRefused) {
  const auto why = [](EndpointConfig config) {
    const auto made = Endpoint::make(std::move(config));
    return made ? std::string("accepted") : made.error().message();
  };
  EndpointConfig config;
  config.provider = "sendgird";
  EXPECT_NE(why(config).find("did you mean \"sendgrid\""), std::string::npos);
  config.provider = "sendgrid";
  EXPECT_NE(why(config).find("nothing authenticates"), std::string::npos);
  config.secrets = {"no key"};
  EXPECT_NE(why(config).find("neither PEM nor base64"), std::string::npos);
  config.secrets = {"  "};
  EXPECT_NE(why(config).find("a secret is empty"), std::string::npos);
  config.provider = "brevo";
  config.secrets = {"x"};
  EXPECT_NE(why(config).find("does not sign"), std::string::npos);
  config.secrets.clear();
  config.networks = {"300.1.1.1/8"};
  EXPECT_NE(why(config).find("no CIDR"), std::string::npos);
  config.networks = {"10.0.0.0/33"};
  EXPECT_NE(why(config).find("no CIDR"), std::string::npos);
  config.networks.clear();
  config.auth_header = "x-key";
  EXPECT_NE(why(config).find("go together"), std::string::npos);
  config = {};
  config.provider = "ses";
  config.certificates = {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
  EXPECT_NE(why(config).find("not an X.509 certificate"), std::string::npos);
  config.certificates.clear();
  config.allow_unsigned = true;
  EXPECT_EQ(why(config), "accepted");
}

}  // namespace
}  // namespace bounced::parse::providers
