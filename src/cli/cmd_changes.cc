// bounced changes: the feed of block changes, gap-free from sequence number 1.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "base/time.h"
#include "cli/app.h"
#include "cli/arguments.h"
#include "report/address_report.h"
#include "state/state.h"
#include "store/store.h"

namespace bounced::cli {
namespace {

// The clear address (or domain) behind an id; empty when its record is gone.
Result<std::string> stored_text(const store::Store& store, const AddressId& id, bool domain) {
  std::string key;
  store::append_id(key, id);
  if (domain) key += 'D';
  auto value = store.get(store::Family::address, key);
  if (!value) return tl::unexpected(value.error());
  if (!value->has_value()) return std::string();
  auto state = state::decode(**value);
  if (!state) return tl::unexpected(state.error());
  return state->text;
}

std::string change_json(const state::Change& change, std::string_view text,
                        const Session& session) {
  static constexpr std::string_view kActions[] = {"block", "change", "unblock"};
  const state::BlockRecord& block = change.change.record;
  std::string json = fmt::format(
      "{{\"seq\":{},\"time\":\"{}\",\"action\":\"{}\",\"{}\":", change.seq,
      format_time(change.change.time_us), kActions[static_cast<std::size_t>(change.change.action)],
      change.domain ? "domain" : "address");
  append_json(json, text);
  json += fmt::format(",\"kind\":\"{}\",\"scope\":\"{}\"", to_string(block.kind),
                      to_string(block.scope));
  if (const auto name = report::scope_name(block, session.names()); !name.empty()) {
    json += ",\"scope_name\":";
    append_json(json, name);
  }
  const auto cause = static_cast<Cause>(block.cause);
  if (cause != Cause::none) {
    json += ",\"cause\":";
    append_json(json, cause_id(session.rules(), cause));
  }
  json += fmt::format(",\"since\":\"{}\"", format_time(block.since_us));
  if (block.until_us != 0) json += fmt::format(",\"until\":\"{}\"", format_time(block.until_us));
  if (const auto actor = session.names().text(store::Dictionary::actor, block.actor);
      !actor.empty()) {
    json += ",\"actor\":";
    append_json(json, actor);
  }
  return json + "}\n";
}

int changes(App& app, std::uint64_t after, std::uint64_t limit) {
  auto session = Session::read(app);
  if (!session) return app.io.report(session.error());
  const store::Store& store = (*session)->store();
  std::string from;
  store::append_u64_be(from, after + 1);
  if (limit == 0) return 1;
  std::uint64_t shown = 0;
  std::optional<Error> bad;
  auto scanned = store.scan(store::Family::changes, {}, from,
                            [&](std::string_view key, std::string_view value) {
                              auto change = state::decode_change(key, value);
                              if (!change) {
                                bad = change.error();
                                return false;
                              }
                              auto text = stored_text(store, change->id, change->domain);
                              if (!text) {
                                bad = text.error();
                                return false;
                              }
                              app.io.out(change_json(*change, *text, **session));
                              return !app.io.broken() && ++shown < limit;
                            });
  if (!scanned) return app.io.report(scanned.error());
  if (bad.has_value()) return app.io.report(*bad);
  return shown == 0 ? 1 : 0;
}

}  // namespace

void add_changes(CLI::App& parser, App& app) {
  CLI::App* command = parser.add_subcommand("changes", "the feed of block changes, as NDJSON");
  auto after = std::make_shared<std::uint64_t>(0);
  auto limit = std::make_shared<std::uint64_t>(UINT64_MAX);
  whole_number(*command->add_option("--after", *after, "last sequence number already seen")
                    ->type_name("SEQ"));
  whole_number(*command->add_option("--limit", *limit, "at most this many")->type_name("N"));
  examples(*command,
           "  bounced changes --after 0\n"
           "  bounced changes --after 1734 --limit 1000     the next page");
  command->callback([&app, after, limit] {
    app.forwardable = true;
    app.run = [&app, after, limit] { return changes(app, *after, *limit); };
  });
}

}  // namespace bounced::cli
