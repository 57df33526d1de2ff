// bounced list, bounced unblock: blocked addresses by filter.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <tuple>

#include "base/clock.h"
#include "base/text.h"
#include "cli/app.h"
#include "cli/arguments.h"
#include "report/list_report.h"

namespace bounced::cli {
namespace {

/// Addresses lifted per change: bounds what one commit holds back.
constexpr std::size_t kUnblockChunk = 10'000;

struct ListArgs {
  std::string block, cause, category, domain, provider, since, until, at, format = "table";
  std::uint32_t streak = 0;
  bool domains = false, yes = false;
};

Result<report::ListFilter> filter_of(const ListArgs& args, std::int64_t now_us) {
  report::ListFilter filter;
  if (!args.block.empty() && !report::parse_block_kinds(args.block, filter.kinds)) {
    return fail(ErrorCode::usage, "--block", args.block, "not known",
                "dead, soft, incident, filtered, complaint, unsubscribe, manual, provider, "
                "temporary, permanent or any");
  }
  if (args.block.empty() && args.streak != 0) filter.kinds = 0;
  filter.cause = args.cause;
  if (!args.category.empty() && !from_string(args.category, filter.category)) {
    return fail(ErrorCode::usage, "--category", args.category, "not known",
                "e.g. \"Bad Mailbox\" or bad_mailbox");
  }
  filter.domain = args.domain;
  filter.provider = args.provider;
  filter.streak_min = args.streak;
  filter.domains = args.domains;
  for (const auto& [option, text, out] : {std::tuple{"--since", &args.since, &filter.since_us},
                                          std::tuple{"--until", &args.until, &filter.until_us}}) {
    if (text->empty()) continue;
    auto time = parse_moment(option, *text, now_us, Way::back);
    if (!time) return tl::unexpected(time.error());
    *out = *time;
  }
  return filter;
}

int list(App& app, const ListArgs& args) {
  std::int64_t now = system_clock().now_us();
  if (!args.at.empty()) {
    auto at = parse_moment("--at", args.at, now, Way::back);
    if (!at) return app.io.report(at.error());
    now = *at;
  }
  auto filter = filter_of(args, now);
  if (!filter) return app.io.report(filter.error());
  // Not live yet at that time. By the clock all are: a log's may be ahead of it.
  if (!args.at.empty()) filter->until_us = std::min(filter->until_us, now + 1);
  report::Format format = report::Format::table;
  (void)report::from_string(args.format, format);
  auto session = Session::read(app);
  if (!session) return app.io.report(session.error());
  const report::Context context{(*session)->store(), (*session)->names(), (*session)->rules(), now};
  auto written = report::write_list(context, *filter, format,
                                    [&](std::string_view text) { app.io.out(text); });
  if (!written) return app.io.report(written.error());
  return *written == 0 ? 1 : 0;
}

int unblock(App& app, const ListArgs& args) {
  const std::int64_t now = system_clock().now_us();
  auto filter = filter_of(args, now);
  if (!filter) return app.io.report(filter.error());
  if (filter->kinds == 0) filter->kinds = ~std::uint32_t{0};
  auto session = Session::write(app, true);
  if (!session) return app.io.report(session.error());
  pipeline::Engine& engine = *(*session)->engine();
  // The filter reads the store, which has what was applied only from its cut on.
  if (auto flushed = engine.flush(); !flushed) return app.io.report(flushed.error());
  const report::Context context{(*session)->store(), (*session)->names(), (*session)->rules(), now};
  struct Selected {
    std::string address;
    std::vector<state::BlockRecord> blocks;
  };
  std::vector<Selected> addresses;
  auto visited = report::list_addresses(context, *filter, false, [&](const report::ListRow& row) {
    addresses.push_back({row.state.text, row.blocks});
    return true;
  });
  if (!visited) return app.io.report(visited.error());
  const char* const what = args.domains ? "domain(s)" : "address(es)";
  if (!args.yes) {
    app.io.out(fmt::format("would unblock {} {}; add --yes to do it\n", addresses.size(), what));
    return addresses.empty() ? 1 : 0;
  }
  std::size_t changed = 0;
  for (std::size_t at = 0; at < addresses.size(); at += kUnblockChunk) {
    const std::size_t end = std::min(addresses.size(), at + kUnblockChunk);
    auto done = engine.change([&](state::States& states, store::Names& names) -> Result<void> {
      state::States::Command command;
      command.kind = state::States::Command::Kind::unblock;
      command.domain = filter->domains;
      command.time_us = now;
      command.actor = names.intern(store::Dictionary::actor, "cli:unblock");
      for (std::size_t i = at; i < end; ++i) {
        command.address = addresses[i].address;
        command.only = addresses[i].blocks;
        auto result = states.command(command);
        if (!result) return tl::unexpected(result.error());
        changed += *result ? 1 : 0;
      }
      return {};
    });
    if (!done) return app.io.report(done.error());
  }
  app.io.out(fmt::format("unblocked {} {}\n", changed, what));
  return changed == 0 ? 1 : 0;
}

void add_filters(CLI::App& command, const std::shared_ptr<ListArgs>& args) {
  command.add_option("--block", args->block, "kind of block; or temporary, permanent, any")
      ->type_name("KIND");
  command.add_option("--cause", args->cause, "mailbox.full, or a family: mailbox");
  command.add_option("--category", args->category, "\"Bad Mailbox\" or bad_mailbox");
  command.add_option("--domain", args->domain, "the address's domain, or one above it");
  command.add_option("--provider", args->provider, "suffix of the host that answered last");
  command.add_option("--since", args->since, "blocked since: a time, or 7d = in the last 7 days");
  command.add_option("--until", args->until, "blocked before: a time, or 7d = 7 days ago");
  command.add_option("--streak", args->streak, "at least N final failures in a row")
      ->type_name("N");
  command.add_flag("--domains", args->domains, "records of domains instead of addresses");
}

}  // namespace

void add_list(CLI::App& parser, App& app) {
  CLI::App* command = parser.add_subcommand("list", "blocked addresses, by filter");
  auto args = std::make_shared<ListArgs>();
  add_filters(*command, args);
  command->add_option("--at", args->at, "what is live at that time (default: now)")
      ->type_name("TIME");
  command->add_option("--format", args->format, "table, csv or ndjson")
      ->check(CLI::IsMember({"table", "csv", "ndjson"}));
  examples(*command,
           "  bounced list --block dead\n"
           "  bounced list --block temporary --domain example.com --format csv > soft.csv\n"
           "  bounced list --streak 3 --cause mailbox.full --since 30d");
  command->callback([&app, args] {
    app.forwardable = true;
    app.run = [&app, args] { return list(app, *args); };
  });

  CLI::App* lift = parser.add_subcommand("unblock", "end the blocks that a filter selects");
  auto lift_args = std::make_shared<ListArgs>();
  add_filters(*lift, lift_args);
  lift->add_flag("--yes", lift_args->yes, "do it; without it only the number is shown");
  examples(*lift,
           "  bounced unblock --cause mailbox.unknown --provider example.net --since 2d\n"
           "  bounced unblock --block soft --domain example.com --yes");
  lift->callback([&app, lift_args] {
    app.forwardable = true;
    app.run = [&app, lift_args] { return unblock(app, *lift_args); };
  });
}

}  // namespace bounced::cli
