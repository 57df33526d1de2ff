// Elastic Email: one event in the query of a GET (or the same as a form).
// Source: help.elasticemail.com "Notification settings" (reference/webhooks.md).
#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

constexpr Word kStatuses[] = {
    {"Sent", EventKind::delivered},
    {"Error", EventKind::bounced, ProviderHint::soft},
    {"Bounced", EventKind::bounced, ProviderHint::soft},
    {"AbuseReport", EventKind::complained},
    {"Complaint", EventKind::complained},
    {"Unsubscribed", EventKind::unsubscribed},
};

constexpr Word kCategories[] = {
    {"Ignore", EventKind::none},
    {"Spam", EventKind::bounced, ProviderHint::spam},
    {"BlackListed", EventKind::bounced, ProviderHint::blocked},
    {"NoMailbox", EventKind::bounced, ProviderHint::no_mailbox},
    {"GreyListed", EventKind::bounced, ProviderHint::transient},
    {"Throttled", EventKind::bounced, ProviderHint::transient},
    {"Timeout", EventKind::bounced, ProviderHint::network},
    {"ConnectionProblem", EventKind::bounced, ProviderHint::network},
    {"SPFProblem", EventKind::bounced, ProviderHint::blocked},
    {"AccountProblem", EventKind::bounced, ProviderHint::soft},
    {"DNSProblem", EventKind::bounced, ProviderHint::dns},
    {"WhitelistingProblem", EventKind::bounced, ProviderHint::blocked},
    {"CodeError", EventKind::bounced, ProviderHint::soft},
    {"ManualCancel", EventKind::discarded},
    {"ConnectionTerminated", EventKind::bounced, ProviderHint::network},
    {"ContentFilter", EventKind::bounced, ProviderHint::content},
    {"NotDelivered", EventKind::suppressed, ProviderHint::hard},  // on the account's own list
    {"Unknown", EventKind::bounced, ProviderHint::soft},
};

void map(Job& job, const std::vector<FormField>& fields) {
  const Word* word = find_word(kStatuses, form_value(fields, "status"));
  if (form_value(fields, "status").empty()) return job.sink.unparsed();
  if (word == nullptr) return job.sink.ignore();
  const std::string_view category = form_value(fields, "category");
  Item item;
  item.kind = word->kind;
  item.hint = word->hint;
  if (const Word* told = find_word(kCategories, category); item.failing() && told != nullptr) {
    item.kind = told->kind;
    item.hint = told->hint;
  }
  if (item.kind == EventKind::none) return job.sink.ignore();
  item.recipient = form_value(fields, "to");
  item.sender = form_value(fields, "from");
  item.provider_id = form_value(fields, "messageid");
  if (item.provider_id.empty()) item.provider_id = form_value(fields, "transaction");
  item.campaign = form_value(fields, "postback");
  item.stream = form_value(fields, "channel");
  item.tenant = form_value(fields, "account");
  if (item.failing() || item.kind == EventKind::suppressed) item.label = category;
  item.time_us = read_time(form_value(fields, "date"));
  job.sink.add(item);
}

void parse(Job& job) {
  const std::string_view target = job.request.target;
  const auto mark = target.find('?');
  const bool in_query = job.request.body.empty();
  if (in_query && mark == std::string_view::npos) return refuse(job, "no query");
  map(job, read_form(in_query ? target.substr(mark + 1) : job.request.body));
}

}  // namespace

const Row kElasticemail = {
    .face =
        {"elasticemail",
         "Elastic Email",
         {200, 503, 401, 400},
         24 * kHoursUs,
         "1. Settings > Notifications: this URL; Sent, Errors, Complaints, Unsubscribed.\n"
         "2. Here: basic_auth (user and password in the URL), or networks; an unguessable path.\n"
         "Tells: Elastic Email's category, channel (as stream), postback (as campaign).\n"
         "Does not tell: words, codes, hosts, an id of the event. Not signed. A thousand\n"
         "failures in a row turn the webhook off."},
    .takes_get = true,
    .parse = parse,
};

}  // namespace bounced::parse::providers
