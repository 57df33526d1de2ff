// bounced status: counters of the running daemon, per stage.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/clock.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/app.h"
#include "cli/mail_watch.h"

namespace bounced::cli {
namespace {

constexpr std::size_t kRulesShown = 5;

using Stage = std::pair<const char*, pipeline::StageCounters pipeline::Metrics::*>;
constexpr Stage kStages[] = {
    {"ingest", &pipeline::Metrics::ingest},     {"parse", &pipeline::Metrics::parse},
    {"classify", &pipeline::Metrics::classify}, {"correlate", &pipeline::Metrics::correlate},
    {"state", &pipeline::Metrics::state},       {"commit", &pipeline::Metrics::commit}};

/// What is shown of a running daemon.
struct Status {
  pipeline::Metrics metrics;
  std::vector<ingest::Tail::FileState> files;
  std::vector<MailWatch::State> mailboxes;
  std::vector<std::string> troubles;
  std::vector<pipeline::RuleHit> rules;  ///< that decided most often, most first
};

/// What decided most often, most first.
std::vector<pipeline::RuleHit> busiest_rules(const pipeline::Engine& engine) {
  std::vector<pipeline::RuleHit> hits = engine.rule_hits();
  std::sort(hits.begin(), hits.end(), [](const auto& a, const auto& b) {
    return a.count != b.count ? a.count > b.count : a.rule < b.rule;
  });
  if (hits.size() > kRulesShown) hits.resize(kRulesShown);
  return hits;
}

/// What happened to an mbox that does not happen every day.
std::string mbox_counts(const MailWatch::State& box) {
  std::string text;
  const auto add = [&text](const char* what, std::uint64_t count) {
    if (count != 0) text += fmt::format(", {} {}", with_commas(count), what);
  };
  add("times read from the start again", box.mbox.restarts);
  add("times replaced", box.mbox.replaced);
  add("cut at their bound", box.mbox.oversize);
  add("torn", box.mbox.torn);
  add("too old", box.mbox.old);
  add("looks beside a writer", box.mbox.locked);
  return text;
}

std::string mailboxes_json(const Status& status, std::string_view what) {
  std::string json;
  for (const auto& box : status.mailboxes) {
    if (box.what != what) continue;
    json += json.empty() ? "{\"path\":" : ",{\"path\":";
    append_json(json, box.path);
    json += fmt::format(",\"mails\":{},\"events\":{}", box.mails, box.events);
    if (what == "mbox") {
      json += fmt::format(
          ",\"offset\":{},\"restarts\":{},\"replaced\":{},\"oversize\":{},\"torn\":{},\"old\":{},"
          "\"locked\":{}",
          box.offset, box.mbox.restarts, box.mbox.replaced, box.mbox.oversize, box.mbox.torn,
          box.mbox.old, box.mbox.locked);
    }
    if (!box.trouble.empty()) {
      json += ",\"trouble\":";
      append_json(json, box.trouble);
    }
    json += '}';
  }
  return json;
}

std::string as_text(const Status& status) {
  const pipeline::Metrics& m = status.metrics;
  std::string text = fmt::format("{:<10}{:>16}{:>16}{:>16}{:>10}\n", "stage", "received", "sent",
                                 "dropped", "errors");
  for (const auto& [name, member] : kStages) {
    const pipeline::StageCounters& c = m.*member;
    text += fmt::format("{:<10}{:>16}{:>16}{:>16}{:>10}\n", name, with_commas(c.received),
                        with_commas(c.sent), with_commas(c.dropped), with_commas(c.errors));
  }
  text += fmt::format("queued     {} blocks, {} batches\n", m.blocks_queued, m.batches_queued);
  text += fmt::format("lag        {}, {:.1f} s\n", human_bytes(static_cast<double>(m.lag_bytes)),
                      static_cast<double>(m.lag_us) / 1e6);
  if (m.lines.loss_alarms != 0 && pipeline::loss_trouble(m, system_clock().now_us()).empty()) {
    text += fmt::format("lost       {} messages, more than an hour ago, told by loggers\n",
                        with_commas(m.lines.lost_messages));
  }
  if (m.watermark_us != 0) text += fmt::format("newest     {}\n", format_time(m.watermark_us));
  text += fmt::format("addresses  {} with a state\n", with_commas(m.states.addresses));
  text += fmt::format("blocked    {} addresses and domains\n", with_commas(m.states.blocked));
  text += fmt::format("table      {} addresses and domains in RAM, {}\n",
                      with_commas(m.states.addresses_ram),
                      human_bytes(static_cast<double>(m.states.table_bytes)));
  text += fmt::format("memo       {} of {} failures answered without a scan\n",
                      with_commas(m.classifier.memo_hits), with_commas(m.classifier.calls));
  for (const auto& file : status.files) {
    text +=
        fmt::format("file       {}  {} of {}{}\n", printable(file.path), with_commas(file.offset),
                    with_commas(file.size), file.rotated ? "  (rotated)" : "");
  }
  for (const auto& box : status.mailboxes) {
    text += fmt::format("{:<11}{}  {} mails, {} events{}{}\n", box.what, printable(box.path),
                        with_commas(box.mails), with_commas(box.events), mbox_counts(box),
                        box.trouble.empty() ? "" : "  TROUBLE: " + printable(box.trouble));
  }
  for (const std::string& trouble : status.troubles) {
    text += "TROUBLE    " + printable(trouble) + "\n";
  }
  for (const pipeline::RuleHit& hit : status.rules) {
    text += fmt::format("rule       {}  {} hits, last {}\n", printable(hit.rule),
                        with_commas(hit.count), format_time(hit.last_us));
  }
  return text;
}

std::string as_json(const Status& status) {
  const pipeline::Metrics& m = status.metrics;
  std::string json = "{\"stages\":{";
  bool first = true;
  for (const auto& [name, member] : kStages) {
    const pipeline::StageCounters& c = m.*member;
    json += fmt::format("{}\"{}\":{{\"received\":{},\"sent\":{},\"dropped\":{},\"errors\":{}}}",
                        first ? "" : ",", name, c.received, c.sent, c.dropped, c.errors);
    first = false;
  }
  json += fmt::format(
      "}},\"queue\":{{\"blocks\":{},\"batches\":{}}},\"lag\":{{\"bytes\":{},\"seconds\":{:.3f}}},"
      "\"lines\":{},\"bytes\":{},\"unparsed\":{},\"oversize\":{},\"lost_messages\":{},"
      "\"loss_alarms\":{},\"healthy\":{},"
      "\"addresses\":{},\"blocked\":{},\"files\":[",
      m.blocks_queued, m.batches_queued, m.lag_bytes, static_cast<double>(m.lag_us) / 1e6,
      m.lines.lines, m.lines.bytes, m.lines.unparsed, m.lines.oversize, m.lines.lost_messages,
      m.lines.loss_alarms, status.troubles.empty(), m.states.addresses, m.states.blocked);
  first = true;
  for (const auto& file : status.files) {
    json += first ? "{\"path\":" : ",{\"path\":";
    append_json(json, file.path);
    json += fmt::format(",\"offset\":{},\"size\":{},\"rotated\":{}", file.offset, file.size,
                        file.rotated);
    if (!file.trouble.empty()) {
      json += ",\"trouble\":";
      append_json(json, file.trouble);
    }
    json += '}';
    first = false;
  }
  json += "],\"maildirs\":[" + mailboxes_json(status, "maildir");
  json += "],\"mboxes\":[" + mailboxes_json(status, "mbox");
  json += "],\"troubles\":[";
  first = true;
  for (const std::string& trouble : status.troubles) {
    if (!first) json += ',';
    append_json(json, trouble);
    first = false;
  }
  json += "],\"rules\":[";
  first = true;
  for (const pipeline::RuleHit& hit : status.rules) {
    json += first ? "{\"rule\":" : ",{\"rule\":";
    append_json(json, hit.rule);
    json += fmt::format(",\"hits\":{},\"last_hit\":\"{}\"}}", hit.count, format_time(hit.last_us));
    first = false;
  }
  return json + "]}\n";
}

}  // namespace

void add_status(CLI::App& parser, App& app) {
  CLI::App* command = parser.add_subcommand("status", "counters, queues and lag of the daemon");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "one JSON object");
  examples(*command,
           "  bounced status --data /var/lib/bounced\n"
           "  bounced status --json | jq .lag");
  command->callback([&app, json] {
    app.forwardable = true;
    app.run = [&app, json] {
      if (app.live == nullptr) {
        return app.io.report({ErrorCode::not_found, "status", app.data(), "no daemon answers here",
                              "start one with `bounced run`"});
      }
      Status status{app.live->metrics(),
                    app.live->files(),
                    {},
                    app.live->troubles(),
                    busiest_rules(*app.live)};
      if (app.live_mails != nullptr) status.mailboxes = app.live_mails->states();
      for (const auto& box : status.mailboxes) {
        if (!box.trouble.empty()) status.troubles.push_back(box.trouble);
      }
      app.io.out(*json ? as_json(status) : as_text(status));
      return 0;
    };
  });
}

}  // namespace bounced::cli
