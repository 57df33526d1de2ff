// bounced explain: one log line taken apart, judged, and what it would do.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/clock.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/app.h"
#include "cli/policy_text.h"

namespace bounced::cli {
namespace {

std::string what_it_does(const Batch& batch, const Event& event, const Verdict* verdict,
                         const RuleSet& rules, const Policy& policy, const std::string& recipient) {
  switch (event.kind) {
    case EventKind::delivered:
      return "a delivery: ends a streak and dead, soft or incident blocks";
    case EventKind::relayed:
      return "handed on inside: neither a delivery nor a failure";
    case EventKind::deferred:
      return event.has(EventFlags::kNotAttempted)
                 ? "no attempt was made: recorded, counts nothing"
                 : "an attempt that failed: recorded, never counted; only the final result counts";
    case EventKind::suppressed:
      return "our own refusal: counts nothing";
    case EventKind::probed:
      return "an address probe, not mail: counts nothing";
    case EventKind::discarded:
      return "discarded by configuration: counts nothing";
    default:
      break;
  }
  if (verdict == nullptr) return "nothing";
  const CausePolicy& p = policy.of(verdict->cause);
  std::string text = fmt::format("{}: {}", cause_id(rules, verdict->cause), describe_policy(p));
  state::AddressState fresh;
  const state::Fact fact = state::fact_of(batch, event, *verdict);
  const auto level = p.level == PolicyLevel::domain ? PolicyLevel::domain : PolicyLevel::address;
  const state::Decision decision = state::decide(fresh, fact, *verdict, policy, level);
  for (const auto& change : decision.changes) {
    text += fmt::format(
        "\n            seen first, it would block {} ({}) from {} until {}", printable(recipient),
        to_string(change.record.kind), format_time(change.record.since_us),
        change.record.until_us == 0 ? "for good" : format_time(change.record.until_us));
  }
  if (decision.changes.empty()) text += "\n            seen first, it would block nothing";
  return text;
}

/// A stamp without a year is of the last twelve months.
std::int64_t time_of(const Event& event) {
  TimeResolver::State state;
  state.anchor_us = system_clock().now_us();
  return TimeResolver::make({}, state)->resolve(event.time_us, event.time_form);
}

int explain(App& app, const std::string& line, const std::string& format_name) {
  auto config = app.config();
  if (!config) return app.io.report(config.error());
  auto rules = rules_of(app);
  if (!rules) return app.io.report(rules.error());
  auto policy = state::load_policy(config->policy_file, causes(**rules));
  if (!policy) return app.io.report(policy.error());
  const AddressHasher hasher;
  parse::Context context;
  context.hasher = &hasher;
  context.campaign_header = config->campaign_header;
  context.smarthosts.names = config->smarthosts;
  context.relays.names = config->relay_hosts;
  context.relays.networks = config->relay_networks;
  int format = format_name == "auto" ? parse::probe_format(line) : parse::find_format(format_name);
  if (format < 0) format = 0;

  std::string text;
  for (const parse::Field& field : parse::explain_line(context, line, format)) {
    text += fmt::format("{:<11} {}\n", field.name, printable(field.value));
  }
  BlockPool pool(1, limits::kLineBytesMax + 1);
  Batch batch;
  batch.block = pool.take();
  const std::string whole = line.substr(0, limits::kLineBytesMax) + "\n";
  std::memcpy(batch.block->data, whole.data(), whole.size());
  batch.block->size = static_cast<std::uint32_t>(whole.size());
  batch.block->format = format;
  parse::parse(context, batch);
  int status = 0;
  const bool event_is_delivery =
      !batch.events.empty() && batch.events.front().kind == EventKind::delivered;
  if (batch.events.empty()) {
    text += batch.notes.empty() ? "no event     this line says nothing about a recipient\n"
                                : "no event     kept to enrich the message's other lines\n";
    status = batch.notes.empty() ? 1 : 0;
  } else {
    Event& event = batch.events.front();
    event.time_us = time_of(event);
    const std::string recipient(batch.view(event.recipient));
    std::optional<Verdict> verdict;
    Explanation why;
    if (event.failing()) {
      Failure failure;
      failure.diagnostic = batch.view(event.diagnostic);
      failure.smtp_code = event.smtp_code;
      failure.enhanced = event.enhanced;
      failure.phase = event.phase;
      failure.kind = event.kind;
      failure.hint = event.hint;
      failure.mta_host = batch.view(event.mta_host);
      failure.recipient_domain = raw_domain(recipient);
      Classifier::Options options;
      options.sending_ips = config->sending_ips;
      Classifier classifier(*rules, options);
      verdict = classifier.explain(failure, why);
      const CauseInfo& info = cause_info(**rules, verdict->cause);
      text += fmt::format("{:<11} {}\n", "event", to_string(event.kind));
      if (event.hint != ProviderHint::none) {
        text +=
            fmt::format("{:<11} {}, by the sender's own classes\n", "hint", to_string(event.hint));
      }
      text += fmt::format("{:<11} {} ({}, said {}, confidence {:.2f}) by {}\n", "verdict",
                          cause_id(**rules, verdict->cause), to_string(verdict->bounce_class),
                          to_string(verdict->said), verdict->confidence / 100.0,
                          rule_name(**rules, verdict->rule));
      text += fmt::format("{:<11} {}\n{:<11} {}\n{:<11} {}\n", "because", why.summary, "meaning",
                          info.meaning, "advice", info.advice);
    } else {
      text += fmt::format("{:<11} {}\n", "event", to_string(event.kind));
    }
    text += fmt::format(
        "{:<11} {}\n", "it does",
        what_it_does(batch, event, verdict ? &*verdict : nullptr, **rules, *policy, recipient));
  }
  if (event_is_delivery && policy->late_quiet_us != 0) {
    text += fmt::format(
        "{:<11} where a message that was taken like this came back before, only {} h\n"
        "{:<11} without another such return end a streak (policy: late.quiet)\n",
        "but", policy->late_quiet_us / kHourUs, "");
  }
  batch.clear();
  app.io.out(text);
  return status;
}

}  // namespace

void add_explain(CLI::App& parser, App& app) {
  CLI::App* command =
      parser.add_subcommand("explain", "a log line's fields, verdict, and what it would do");
  auto line = std::make_shared<std::string>();
  auto format = std::make_shared<std::string>("auto");
  command->add_option("LINE", *line, "the whole line, quoted; - = first line of stdin")->required();
  command->add_option("--format", *format, "auto, or a format's name");
  examples(*command,
           "  bounced explain \"$(grep status=bounced /var/log/mail.log | tail -1)\"\n"
           "  tail -1 /var/log/mail.log | bounced explain -");
  command->callback([&app, line, format] {
    app.run = [&app, line, format] {
      std::string text = *line;
      if (text == "-" && !app.io.read_line(text)) text.clear();
      return explain(app, text, *format);
    };
  });
}

}  // namespace bounced::cli
