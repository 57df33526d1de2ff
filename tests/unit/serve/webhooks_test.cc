// Endpoints behind a real server: statuses, what is kept of refused requests, draining.
#include "serve/webhooks.h"

#include <gtest/gtest.h>

#include <mutex>

#include "net/http_client.h"
#include "parse/push.h"
#include "serve/figures.h"

namespace bounced::serve {
namespace {

class WebhooksTest : public ::testing::Test {
 protected:
  void start(const std::function<void(WebhookSettings&)>& change = {}) {
    WebhookSettings s;
    s.endpoint.provider = "generic";
    s.endpoint.bearer = "right";
    s.path = "/hooks/own";
    if (change) change(s);
    Webhooks::Sink sink;
    sink.add = [](const WebhookSettings&, std::int64_t horizon_us) -> Result<std::uint32_t> {
      EXPECT_GT(horizon_us, 0);
      return 7;
    };
    sink.accept = [this](std::uint32_t source, const Batch& batch, Webhooks::Sink::Done done) {
      EXPECT_EQ(source, 7u);
      for (const Event& e : batch.events) accepted_.emplace_back(batch.view(e.recipient));
      keys_ += batch.keys.size();
      done(answer_);
    };
    parse::Context context;
    context.hasher = &hasher_;
    auto made = Webhooks::make({s}, context, sink);
    ASSERT_TRUE(made) << made.error().message();
    webhooks_ = std::move(*made);
    net::HttpOptions options;
    options.listen = {"127.0.0.1:0"};
    auto server = net::HttpServer::start(options, webhooks_->routes());
    ASSERT_TRUE(server) << server.error().message();
    server_ = std::move(*server);
  }
  [[nodiscard]] unsigned post(const std::string& body, const std::string& bearer = "right",
                              const std::string& path = "/hooks/own") const {
    net::HttpCall call;
    call.url = "http://" + server_->addresses().front() + path;
    call.headers = {{"Content-Type", "application/json"}, {"Authorization", "Bearer " + bearer}};
    call.body = body;
    const auto reply = net::call(call);
    EXPECT_TRUE(reply) << reply.error().message();
    return reply ? reply->status : 0;
  }
  static constexpr const char* kBounce =
      R"({"kind":"bounced","id":"1","recipient":"someone@example.com","diagnostic":"550 5.1.1 no"})";

  AddressHasher hasher_;
  Result<void> answer_;
  std::vector<std::string> accepted_;
  std::size_t keys_ = 0;
  std::unique_ptr<Webhooks> webhooks_;
  std::unique_ptr<net::HttpServer> server_;
};

TEST_F(WebhooksTest, AcceptsWhatIsDurableOnly) {
  start();
  EXPECT_EQ(post(kBounce), 200u);
  EXPECT_EQ(accepted_, std::vector<std::string>{"someone@example.com"});
  EXPECT_EQ(keys_, 1u);
  const auto* provider = parse::providers::find("generic");
  answer_ = fail(ErrorCode::busy, "accept", "inbox", "full");
  EXPECT_EQ(post(kBounce), provider->statuses.overloaded);
  answer_ = fail(ErrorCode::io, "put", "store", "disk");
  EXPECT_EQ(post(kBounce), provider->statuses.overloaded);
  const WebhookFigures f = webhooks_->figures().front();
  EXPECT_EQ(f.requests, 3u);
  EXPECT_EQ(f.accepted, 1u);
  EXPECT_EQ(f.events, 1u);
  EXPECT_EQ(f.overloaded, 1u);
  EXPECT_EQ(f.failed, 1u);
  EXPECT_NE(f.last_us, 0);
}

TEST_F(WebhooksTest, RefusesAndKeepsWhatItRefusedWithoutSecrets) {
  start();
  EXPECT_EQ(post(kBounce, "a-secret-guess"), 401u);
  EXPECT_EQ(post("{\"kind\":", "right"), 400u);
  EXPECT_TRUE(accepted_.empty());
  const auto rejected = webhooks_->rejected();
  ASSERT_EQ(rejected.size(), 2u);
  EXPECT_EQ(rejected[0].status, 400u) << "newest first";
  EXPECT_EQ(rejected[1].remote_ip, "127.0.0.x");
  EXPECT_EQ(rejected[1].request.find("a-secret-guess"), std::string::npos);
  EXPECT_EQ(rejected[1].request.find("someone@"), std::string::npos);
  EXPECT_NE(rejected[1].request.find("***@example.com"), std::string::npos);
  for (std::size_t i = 0; i < 2 * Webhooks::kRejectedMax; ++i) EXPECT_EQ(post(kBounce, "no"), 401u);
  EXPECT_EQ(webhooks_->rejected().size(), Webhooks::kRejectedMax);
}

TEST_F(WebhooksTest, SnsIsNeverToldThatAnUnprovenMessageIsDoneWith) {
  start([](WebhookSettings& s) {
    s.endpoint.provider = "ses";
    s.endpoint.bearer.clear();
    s.endpoint.topics = {"arn:aws:sns:eu-west-1:111122223333:mail"};
    s.endpoint.allow_unsigned = true;
  });
  EXPECT_EQ(post(R"({"Type":"Notification","MessageId":"1","TopicArn":"arn:x","Message":"{}"})"),
            503u)
      << "no signature";
  EXPECT_EQ(post(R"({"notificationType":"Bounce"})"), 503u) << "raw delivery";
  EXPECT_TRUE(accepted_.empty());
}

TEST_F(WebhooksTest, SnsIsAskedForItsPassword) {
  start([](WebhookSettings& s) {
    s.endpoint.provider = "ses";
    s.endpoint.bearer.clear();
    s.endpoint.basic_auth = "sns:right";
  });
  net::HttpCall call;
  call.url = "http://" + server_->addresses().front() + "/hooks/own";
  call.body = R"({"notificationType":"Bounce"})";
  auto reply = net::call(call);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 401u);
  call.headers = {{"Authorization", "Basic c25zOndyb25n"}};
  reply = net::call(call);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 503u) << "the wrong one: perhaps the configuration's fault";
}

TEST_F(WebhooksTest, SecretPathsAndDraining) {
  start([](WebhookSettings& s) {
    s.token = "unguessable";
    s.overloaded = 429;
  });
  EXPECT_EQ(post(kBounce), 404u);
  EXPECT_EQ(post(kBounce, "right", "/hooks/own/unguessable"), 200u);
  webhooks_->drain();
  EXPECT_EQ(post(kBounce, "right", "/hooks/own/unguessable"), 429u);
  EXPECT_EQ(accepted_.size(), 1u);
}

TEST_F(WebhooksTest, AnEndpointThatAsksForNothingIsAnError) {
  WebhookSettings s;
  s.endpoint.provider = "generic";
  s.path = "/x";
  EXPECT_FALSE(Webhooks::make({s}, {}, {}));
}

TEST(FiguresTest, AreWrittenAsPrometheusReadsThem) {
  const std::string text = prometheus_text({{"a_total", "One.", true, 3, {{"kind", "x\"y"}}},
                                            {"a_total", "One.", true, 4, {{"kind", "z"}}},
                                            {"b", "Two.", false, 1.5, {}}});
  EXPECT_NE(text.find("# TYPE a_total counter"), std::string::npos) << text;
  EXPECT_NE(text.find("a_total{kind=\"x\\\"y\"} 3"), std::string::npos) << text;
  EXPECT_NE(text.find("# TYPE b gauge"), std::string::npos) << text;
  EXPECT_EQ(text.find("# TYPE a_total"), text.rfind("# TYPE a_total"));
}

TEST(ProvidersTest, HaveARowInTheTableOfFormats) {
  for (const auto& provider : parse::providers::table()) {
    const int row = parse::find_push_format(provider.name);
    ASSERT_GE(row, 0);
    EXPECT_EQ(parse::formats()[static_cast<std::size_t>(row)].name, provider.name);
  }
}

}  // namespace
}  // namespace bounced::serve
