// bounced address show|block|unblock.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/clock.h"
#include "base/text.h"
#include "cli/app.h"
#include "cli/arguments.h"
#include "report/address_report.h"

namespace bounced::cli {
namespace {

using Kind = state::States::Command::Kind;

struct AddressArgs {
  std::vector<std::string> addresses;
  std::string until, reason, actor;
  bool json = false;
};

int show(App& app, const AddressArgs& args) {
  auto session = Session::read(app);
  if (!session) return app.io.report(session.error());
  const report::Context context{(*session)->store(), (*session)->names(), (*session)->rules(),
                                system_clock().now_us()};
  int status = 0;
  for (const std::string& typed : args.addresses) {
    const std::string address = bare_address(typed);
    auto facts = report::find_address(context, address);
    if (!facts) return app.io.report(facts.error());
    if (!facts->has_value()) {
      app.io.flush();
      app.io.notice(printable(address) + ": nothing is known of it; it may be mailed");
      status = 1;
      continue;
    }
    std::string text;
    if (args.json) {
      report::append_address_json(text, **facts, context, true);
    } else {
      report::append_address_text(text, **facts, context);
    }
    app.io.out(text);
  }
  return status;
}

/// The same to one address. A name without @ is a domain, or a recipient of the mail server itself:
/// what is blocked is lifted.
Result<bool> change_one(state::States& states, state::States::Command& command,
                        const std::string& address) {
  command.address = address;
  command.domain = address.find('@') == std::string::npos;
  auto changed = states.command(command);
  const bool lifts = command.kind == Kind::unblock;
  if (!changed || *changed || !command.domain || !lifts) return changed;
  command.domain = false;
  return states.command(command);
}

/// Lifting an address's own blocks does not lift its domain's.
void tell_domains_still_blocked(App& app, Session& session, const AddressArgs& args) {
  const report::Context context{session.store(), session.names(), session.rules(),
                                system_clock().now_us()};
  for (const std::string& typed : args.addresses) {
    const std::string address = bare_address(typed);
    auto facts = report::find_address(context, address);
    if (!facts || !facts->has_value() || !(*facts)->domain_state) continue;
    const state::AddressState& domain = *(*facts)->domain_state;
    if (state::effective_block(domain, context.now_us).kind == BlockKind::none) continue;
    app.io.notice(fmt::format("{}: its domain is still blocked; bounced address unblock {}",
                              address, domain.text));
  }
}

// Gives the same command to every address, in one durable change.
int change_all(App& app, const AddressArgs& args, state::States::Command command, bool must_exist,
               std::string_view done_word) {
  // All of them can be given to the engine, or nothing changes.
  for (const std::string& typed : args.addresses) {
    auto good = check_address(bare_address(typed), command.kind == Kind::block);
    if (!good) return app.io.report(good.error());
  }
  auto session = Session::write(app, must_exist);
  if (!session) return app.io.report(session.error());
  const std::string actor = args.actor.empty() ? actor_name(app.uid) : args.actor;
  std::size_t changed = 0;
  auto done =
      (*session)->engine()->change([&](state::States& states, store::Names& names) -> Result<void> {
        command.record.actor = names.intern(store::Dictionary::actor, actor);
        command.actor = command.record.actor;
        for (const std::string& typed : args.addresses) {
          auto result = change_one(states, command, bare_address(typed));
          if (!result) return tl::unexpected(result.error());
          changed += *result ? 1 : 0;
        }
        return {};
      });
  if (!done) return app.io.report(done.error());
  app.io.out(fmt::format("{} {} of {}\n", done_word, changed, args.addresses.size()));
  if (command.kind == Kind::unblock) {
    app.io.flush();
    tell_domains_still_blocked(app, **session, args);
  }
  return changed == 0 ? 1 : 0;
}

int block(App& app, const AddressArgs& args) {
  state::States::Command command;
  command.kind = Kind::block;
  command.time_us = system_clock().now_us();
  command.record.kind = BlockKind::manual;
  command.record.since_us = command.time_us;
  if (!args.until.empty()) {
    auto time = parse_moment("--until", args.until, command.time_us, Way::on);
    if (!time) return app.io.report(time.error());
    if (*time <= command.time_us) {
      return app.io.report({ErrorCode::usage, "--until", args.until, "is in the past", ""});
    }
    command.record.until_us = *time;
  }
  return change_all(app, args, command, false, "blocked");
}

int unblock(App& app, const AddressArgs& args) {
  state::States::Command command;
  command.kind = Kind::unblock;
  command.time_us = system_clock().now_us();
  return change_all(app, args, command, true, "unblocked");
}

}  // namespace

void add_address(CLI::App& parser, App& app) {
  CLI::App* command =
      parser.add_subcommand("address", "what is known of an address; block, unblock");
  command->require_subcommand(1);
  auto args = std::make_shared<AddressArgs>();
  const auto add = [&](const char* name, const char* text, const char* shown,
                       int (*run)(App&, const AddressArgs&)) {
    CLI::App* sub = command->add_subcommand(name, text);
    sub->add_option("ADDRESS", args->addresses, "addresses (show, unblock: domains, too)")
        ->required();
    examples(*sub, shown);
    sub->callback([&app, args, run] {
      app.forwardable = true;
      app.run = [&app, args, run] { return run(app, *args); };
    });
    return sub;
  };
  add("show", "blocks, streak, totals, advice, and the servers' own words",
      "  bounced address show someone@example.com\n"
      "  bounced address show --json someone@example.com | jq '.history[0].diagnostic'",
      show)
      ->add_flag("--json", args->json, "one JSON object a line");
  CLI::App* blocks = add("block", "block by hand; deliveries do not end it",
                         "  bounced address block someone@example.com\n"
                         "  bounced address block --until 30d someone@example.com",
                         block);
  blocks->add_option("--until", args->until, "end: a time or a duration (default: none)");
  blocks->add_option("--actor", args->actor, "who does it (default: cli:<user>)");
  CLI::App* lifts = add("unblock", "end every live block; a new failure starts from nothing",
                        "  bounced address unblock someone@example.com", unblock);
  lifts->add_option("--actor", args->actor, "who does it (default: cli:<user>)");
}

}  // namespace bounced::cli
