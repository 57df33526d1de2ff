// Unisender Go: {"auth":md5,"events_by_user":[{"events":[...]}]}, or one flat event.
// Source: godocs.unisender.ru "Webhooks" (reference/webhooks.md).
#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

enum Slot : std::uint8_t {
  kName,
  kStatus,
  kEmail,
  kTime,
  kJob,
  kDelivery,
  kResponse,
  kIp,
  kCampaign,
  kAuth,
};

constexpr Field kMetadata[] = {{"campaign", kCampaign}, {"campaign_id", kCampaign}};
constexpr Field kInfo[] = {
    {"delivery_status", kDelivery}, {"destination_response", kResponse}, {"ip", kIp}};
constexpr Field kData[] = {
    {"status", kStatus},
    {"email", kEmail},
    {"event_time", kTime},
    {"job_id", kJob},
    {"metadata", Field::kNone, kMetadata},
    {"delivery_info", Field::kNone, kInfo},
};
constexpr Field kFields[] = {
    {"event_name", kName},
    {"event_data", Field::kNone, kData},
    {"status", kStatus},
    {"email", kEmail},
    {"event_time", kTime},
    {"job_id", kJob},
    {"metadata", Field::kNone, kMetadata},
    {"delivery_info", Field::kNone, kInfo},
};
constexpr std::string_view kPath[] = {"events_by_user", "events"};
constexpr Shape kShape = {kPath, kFields};

constexpr Field kAuthField[] = {{"auth", kAuth}};
constexpr Shape kAuthShape = {{}, kAuthField};

constexpr Word kStatuses[] = {
    {"delivered", EventKind::delivered},
    {"soft_bounced", EventKind::bounced, ProviderHint::soft},
    {"hard_bounced", EventKind::bounced, ProviderHint::hard},
    {"spam", EventKind::complained},
    {"unsubscribed", EventKind::unsubscribed},
    {"subscribed", EventKind::resubscribed},
};

/// A soft bounce that will be tried again is a deferral; addresses that Unisender would not send to
/// are on its list.
constexpr Word kDeliveries[] = {
    {"err_user_unknown", EventKind::bounced, ProviderHint::no_mailbox},
    {"err_user_inactive", EventKind::bounced, ProviderHint::hard},
    {"err_mailbox_full", EventKind::bounced, ProviderHint::full},
    {"err_mailbox_discarded", EventKind::bounced, ProviderHint::hard},
    {"err_will_retry", EventKind::deferred, ProviderHint::transient},
    {"err_spam_rejected", EventKind::bounced, ProviderHint::spam},
    {"err_spam_removed", EventKind::bounced, ProviderHint::spam},
    {"err_spam_skipped", EventKind::discarded},
    {"err_spam_retry", EventKind::deferred, ProviderHint::spam},
    {"err_too_large", EventKind::bounced, ProviderHint::too_big},
    {"err_domain_inactive", EventKind::bounced, ProviderHint::dns},
    {"err_dest_misconfigured", EventKind::bounced, ProviderHint::dns},
    {"err_not_allowed", EventKind::suppressed, ProviderHint::hard},
    {"err_blacklisted", EventKind::suppressed, ProviderHint::hard},
    {"err_unsubscribed", EventKind::suppressed, ProviderHint::hard},
    {"err_spam_folder", EventKind::none},
    {"err_lost", EventKind::bounced, ProviderHint::transient},
    {"err_giveup", EventKind::expired, ProviderHint::transient},
    {"skip_dup_unreachable", EventKind::suppressed, ProviderHint::hard},
    {"skip_dup_temp_unreachable", EventKind::suppressed, ProviderHint::hard},
    {"err_delivery_failed", EventKind::bounced, ProviderHint::hard},
};

void map(Job& job, const Record& r) {
  if (r[kStatus].empty()) {
    return r[kName].empty() ? job.sink.unparsed() : job.sink.ignore();
  }
  Item item;
  if (!begin_item(job, kStatuses, r[kStatus], item)) return;
  item.recipient = r[kEmail];
  item.provider_id = r[kJob];
  item.campaign = r[kCampaign];
  item.time_us = read_time(r[kTime]);
  if (item.failing()) {
    item.words = r[kResponse];
    if (const Word* told = find_word(kDeliveries, r[kDelivery])) {
      item.kind = told->kind;
      item.hint = told->hint;
    }
    if (item.kind == EventKind::none) return job.sink.ignore();
  } else if (item.kind == EventKind::delivered) {
    item.words = r[kResponse];
  }
  item.label = r[kDelivery];
  job.sink.add(item);
}

void parse(Job& job) {
  parse_json(job, kShape, map);
}

/// The body with `auth`'s value replaced; empty when it holds none.
std::string with_auth(std::string_view body, std::string_view auth, std::string_view instead) {
  const auto at = auth.empty() ? std::string_view::npos : body.find(auth);
  if (at == std::string_view::npos) return {};
  std::string text(body);
  return text.replace(at, auth.size(), instead);
}

Check verify(Keys& keys, const Request& request, std::string& why) {
  thread_local JsonReader reader;
  JsonReader::Counts counts;
  std::string auth;
  reader.read(request.body, kAuthShape, counts, [&](const Record& r) { auth = r[kAuth]; });
  if (auth.empty()) {
    why = "no auth in the body";
    return Check::missing;
  }
  bool good = false;
  for (const std::string& secret : keys.secrets) {
    const std::string text = with_auth(request.body, auth, secret);
    good |= !text.empty() && same_secret(to_hex(hash_of(Digest::md5, text)), ascii_lower(auth));
  }
  if (good) return Check::ok;
  why = "auth is not the hash of the body with one of the secrets";
  return Check::bad;
}

Result<Signed> sign(std::string_view secret, const Request& request) {
  const auto brace = request.body.find('{');
  if (brace == std::string_view::npos) {
    return fail(ErrorCode::data, "webhook send", "unisender", "the body is no JSON object");
  }
  const std::string rest = "\"," + std::string(request.body.substr(brace + 1));
  const std::string lead = "{\"auth\":\"";
  const std::string keyed = lead + std::string(secret) + rest;
  return Signed{{}, lead + to_hex(hash_of(Digest::md5, keyed)) + rest};
}

}  // namespace

const Row kUnisender = {
    .face =
        {"unisender",
         "Unisender Go",
         {200, 503, 401, 400},
         24 * kHoursUs,
         "1. Webhooks: add this URL, format JSON; delivered, soft_bounced, hard_bounced, spam,\n"
         "   unsubscribed, subscribed. It is tried with a GET at once, and answered.\n"
         "2. Here: secrets = the API key of the account or project.\n"
         "Tells: the server's words, Unisender's reason, metadata.\n"
         "Does not tell: codes, hosts, an id of the event. The signature is an MD5 with the key\n"
         "inside: weak; add networks or auth_header where you can."},
    .secret = SecretForm::text,
    .parse = parse,
    .verify = verify,
    .sign = sign,
};

}  // namespace bounced::parse::providers
