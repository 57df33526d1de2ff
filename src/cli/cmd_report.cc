// bounced report: rates by cause, category, domain, sender, campaign, stream, tenant, MTA, hour.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <tuple>

#include "base/clock.h"
#include "cli/app.h"
#include "cli/arguments.h"
#include "report/rates_report.h"

namespace bounced::cli {
namespace {

struct ReportArgs {
  std::string by = "cause", since, until, format = "table";
  std::size_t top = 20;
};

int report_rates(App& app, const ReportArgs& args) {
  report::RatesQuery query;
  if (!report::from_string(args.by, query.by)) {
    return app.io.report(
        {ErrorCode::usage, "--by", args.by, "not known",
         "cause, category, domain, sender, campaign, stream, tenant, mta or hour"});
  }
  query.top = args.top;
  const std::int64_t now = system_clock().now_us();
  for (const auto& [option, text, out] : {std::tuple{"--since", &args.since, &query.from_us},
                                          std::tuple{"--until", &args.until, &query.to_us}}) {
    if (text->empty()) continue;
    auto time = parse_moment(option, *text, now, Way::back);
    if (!time) return app.io.report(time.error());
    *out = *time;
  }
  report::Format format = report::Format::table;
  (void)report::from_string(args.format, format);
  auto session = Session::read(app);
  if (!session) return app.io.report(session.error());
  const Policy& policy = (*session)->policy();
  std::copy(std::begin(policy.warn_bounce_percent), std::end(policy.warn_bounce_percent),
            std::begin(query.warn_bounce_percent));
  query.complaint_warn_percent = policy.complaint_warn_percent;
  query.complaint_act_percent = policy.complaint_act_percent;
  const report::Context context{(*session)->store(), (*session)->names(), (*session)->rules(), now};
  auto table = report::rates_table(context, query);
  if (!table) return app.io.report(table.error());
  report::write_rates(*table, format, [&](std::string_view text) { app.io.out(text); });
  return table->lines.empty() ? 1 : 0;
}

}  // namespace

void add_report(CLI::App& parser, App& app) {
  CLI::App* command = parser.add_subcommand("report", "bounce rates and causes");
  auto args = std::make_shared<ReportArgs>();
  command->add_option("--by", args->by,
                      "cause, category, domain, sender, campaign, stream, tenant, mta or hour");
  command->add_option("--since", args->since, "from: a time, or 24h = the last 24 hours");
  command->add_option("--until", args->until, "to: a time, or 24h = 24 hours ago");
  whole_number(
      *command->add_option("--top", args->top, "rows by name; the rest is `other`; 0 = all")
           ->type_name("N"));
  command->add_option("--format", args->format, "table, csv or ndjson")
      ->check(CLI::IsMember({"table", "csv", "ndjson"}));
  examples(*command,
           "  bounced report --by cause --since 24h        what failed, and what to do about it\n"
           "  bounced report --by domain --top 50\n"
           "  bounced report --by hour --since 7d --format csv");
  command->callback([&app, args] {
    app.forwardable = true;
    app.run = [&app, args] { return report_rates(app, *args); };
  });
}

}  // namespace bounced::cli
