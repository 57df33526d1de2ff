// Every provider row on any bytes: no crash, a key for each event, no text outside the arena;
// signature checks that read the body, too.
// fuzz-libs: bounced_parse
#include <string>
#include <vector>

#include "check.h"
#include "parse/providers/providers.h"

namespace {

using namespace bounced;
using namespace bounced::parse::providers;

struct Target {
  Endpoint open, signing;
};

EndpointConfig config_of(std::string_view provider) {
  EndpointConfig config;
  config.provider = provider;
  config.allow_unsigned = true;
  return config;
}

/// Endpoints that take anything, and (where a shared secret will do) endpoints that check.
const std::vector<Target>& targets() {
  static const std::vector<Target> all = [] {
    std::vector<Target> made;
    for (const Provider& provider : table()) {
      EndpointConfig config = config_of(provider.name);
      auto open = Endpoint::make(config);
      config.secrets = {"whsec_c2VjcmV0"};
      config.topics = {"arn:aws:sns:x"};
      auto signing = Endpoint::make(config);
      if (!signing) {
        config.secrets.clear();
        signing = Endpoint::make(config);
      }
      CHECK(open && signing);
      made.push_back({std::move(*open), std::move(*signing)});
    }
    return made;
  }();
  return all;
}

void check_batch(const Batch& batch, const Parsed& parsed) {
  CHECK(batch.keys.size() == batch.events.size());
  CHECK(parsed.kind == Parsed::Kind::events || batch.events.empty());
  for (const Event& event : batch.events) {
    CHECK(event.kind != EventKind::none && !event.recipient.empty());
    CHECK(event.origin <= batch.origins.size() && event.queue_key == 0);
    CHECK(event.kind != EventKind::suppressed || event.hint != ProviderHint::none);
    for (const Text text :
         {event.recipient, event.sender, event.queue_id, event.message_id, event.mta_host,
          event.mta_ip, event.sending_ip, event.diagnostic, event.campaign}) {
      CHECK((text.offset & Text::kArenaBit) != 0);
      CHECK(std::size_t{text.offset & ~Text::kArenaBit} + text.size <= batch.arena_size());
    }
  }
}

void post(const Target& target, const Request& request) {
  static const AddressHasher hasher;
  static const parse::Context context = [] {
    parse::Context made;
    made.hasher = &hasher;
    return made;
  }();
  Batch batch;
  std::string why;
  const Parsed parsed = target.open.parse(context, request, batch);
  check_batch(batch, parsed);
  const Check check = target.signing.verify(request, why);
  CHECK(why.empty() == (check == Check::ok));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<char> padded(size + limits::kBlockPadding);
  if (size != 0) std::memcpy(padded.data(), data, size);
  const std::string_view body(padded.data(), size);
  const std::vector<Header> headers = {{"producer-signature", body.substr(0, 200)},
                                       {"x-mandrill-signature", "AAAA"},
                                       {"svix-id", "m"},
                                       {"svix-timestamp", body.substr(0, 12)},
                                       {"svix-signature", body.substr(0, 200)},
                                       {"authorization", body.substr(0, 60)}};
  const std::string target = "/hook?" + std::string(body);
  for (const Target& provider : targets()) {
    Request request;
    request.method = "POST";
    request.target = target;
    request.headers = headers;
    request.body = body;
    request.now_us = 1'795'348'800'000'000;
    post(provider, request);
    if (provider.open.provider().name != "elasticemail") continue;
    request.method = "GET";
    request.body = {};
    post(provider, request);
  }
  return 0;
}
