// bounced rules bench: what a rule set costs, before it is used.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "classify/measure.h"
#include "cli/cmd_rules.h"
#include "cli/failures.h"

namespace bounced::cli {
namespace {

using classify::LiteralCost;
using classify::Measurement;
using classify::RuleCost;

/// Texts of a corpus that are kept: some 20 MB.
constexpr std::size_t kCorpusMax = 100'000;

struct BenchArgs {
  std::string dir, format = "text";
  std::vector<std::string> corpus;
  double seconds = 10;
};

double percent(std::uint64_t part, std::size_t of) {
  return of == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(of);
}

std::string as_text(const Measurement& m) {
  const auto kib = [](std::size_t bytes) { return human_bytes(static_cast<double>(bytes)); };
  std::string text;
  text += fmt::format("rules      {}: {} literals, {} regexes\n", with_commas(m.rules),
                      with_commas(m.literals), with_commas(m.regexes));
  text += fmt::format("corpus     {} distinct texts, {}\n", with_commas(m.texts), kib(m.bytes));
  text += fmt::format("read       {:.0f} ms   the TOML files and their checks\n", m.read_ms);
  text += fmt::format("compile    {:.0f} ms   databases of {} for literals, {} for regexes\n",
                      m.compile_ms, kib(m.literal_database_bytes), kib(m.regex_database_bytes));
  text += fmt::format(
      "new text   {:.0f} ns   {:.2f} M/s on one thread: normalise {:.0f}, scan {:.0f}, choose "
      "{:.0f}\n",
      m.call_ns, 1000 / m.call_ns, m.normalise_ns, m.scan_ns,
      std::max(0.0, m.call_ns - m.normalise_ns - m.scan_ns));
  text +=
      fmt::format("memo hit   {:.0f} ns   a text met before, but for what varies\n", m.memo_hit_ns);
  text += fmt::format(
      "\nRules by cost: what the scan of one text costs less without it ({} of {} tried, noise "
      "{:.1f} "
      "ns)\n",
      m.ranked, m.rules, m.noise_ns);
  if (m.costs.empty()) text += "  none above the noise\n";
  for (const RuleCost& cost : m.costs) {
    text += fmt::format("{:>8.1f} ns  {}  {}\n", cost.ns, cost.rule, cost.where);
    for (std::size_t i = 0; i < cost.literals.size() && i < 3; ++i) {
      text += fmt::format("               in {:.1f} % of texts: {}\n",
                          percent(cost.literals[i].texts, m.scanned),
                          printable(cost.literals[i].literal));
    }
  }
  text += "\nLiterals found most often: each find is told to every rule that has it\n";
  for (const LiteralCost& literal : m.frequent) {
    text += fmt::format("{:>8.1f} %   {}\n", percent(literal.texts, m.scanned),
                        printable(literal.literal));
  }
  return text;
}

std::string as_json(const Measurement& m) {
  std::string json = fmt::format(
      "{{\"rules\":{},\"literals\":{},\"regexes\":{},\"texts\":{},\"bytes\":{},\"texts_scanned\":{}"
      ",\"read_ms\":{:.1f},"
      "\"compile_ms\":{:.1f},\"database_bytes\":{},\"regex_database_bytes\":{},\"ns_per_text\":{:."
      "1f},"
      "\"normalise_ns\":{:.1f},\"scan_ns\":{:.1f},\"ns_per_memo_hit\":{:.1f},\"noise_ns\":{:.2f},"
      "\"ranked\":{}}}\n",
      m.rules, m.literals, m.regexes, m.texts, m.bytes, m.scanned, m.read_ms, m.compile_ms,
      m.literal_database_bytes, m.regex_database_bytes, m.call_ns, m.normalise_ns, m.scan_ns,
      m.memo_hit_ns, m.noise_ns, m.ranked);
  const auto literal_json = [](const LiteralCost& literal) {
    std::string one = "{\"literal\":";
    append_json(one, literal.literal);
    return one + fmt::format(",\"texts\":{}}}", literal.texts);
  };
  for (const RuleCost& cost : m.costs) {
    json += "{\"rule\":";
    append_json(json, cost.rule);
    json += ",\"where\":";
    append_json(json, cost.where);
    json += fmt::format(",\"cost_ns\":{:.2f},\"literals\":[", cost.ns);
    for (std::size_t i = 0; i < cost.literals.size(); ++i) {
      json += (i == 0 ? "" : ",") + literal_json(cost.literals[i]);
    }
    json += "]}\n";
  }
  for (const LiteralCost& literal : m.frequent) json += literal_json(literal) + "\n";
  return json;
}

int bench(App& app, const BenchArgs& args) {
  auto config = app.config();
  if (!config) return app.io.report(config.error());
  auto options = rule_options(app, args.dir);
  if (!options) return app.io.report(options.error());
  std::vector<classify::CorpusText> corpus;
  std::uint64_t malformed = 0;
  if (!args.corpus.empty()) {
    const auto visited = visit_files(
        app, args.corpus,
        [&](const FailureFacts& facts) {
          if (corpus.size() >= kCorpusMax) return;
          const Failure& f = facts.failure;
          corpus.push_back({std::string(f.diagnostic), std::string(f.mta_host), f.smtp_code,
                            f.enhanced, f.phase, f.kind});
        },
        malformed);
    if (!visited) return app.io.report(visited.error());
    if (corpus.empty()) {
      return app.io.report({ErrorCode::not_found, "rules bench", args.corpus.front(),
                            "no failure in it", "name a log, NDJSON or lines of diagnostics"});
    }
  }
  if (malformed != 0)
    app.io.notice(fmt::format("{} line(s) of malformed JSON left out", malformed));
  classify::MeasureOptions measure;
  measure.budget_us = static_cast<std::int64_t>(args.seconds * 1e6);
  measure.sending_ips = config->sending_ips;
  measure.progress = [&](double done) {
    if (app.io.err_terminal()) {
      const auto filled = static_cast<std::size_t>(done * 30);
      app.io.err(fmt::format("\r  measuring [{}{}] {:>3.0f} %", std::string(filled, '#'),
                             std::string(30 - filled, '.'), done * 100));
    }
    return !app.io.broken();
  };
  const auto measured = classify::measure_rules(*options, std::move(corpus), measure);
  if (app.io.err_terminal()) app.io.err("\r\033[K");
  if (!measured) return app.io.report(measured.error());
  app.io.out(args.format == "ndjson" ? as_json(*measured) : as_text(*measured));
  return 0;
}

}  // namespace

void add_rules_bench(CLI::App& rules, App& app) {
  CLI::App* command = rules.add_subcommand("bench", "what a rule set costs, and which rules most");
  auto args = std::make_shared<BenchArgs>();
  command->add_option("DIR", args->dir, "own rules, which come before the built-in ones");
  command
      ->add_option("--corpus", args->corpus,
                   "logs, NDJSON or lines of diagnostics, - = stdin; none = the rules' samples")
      ->type_name("FILE");
  command->add_option("--seconds", args->seconds, "time for the ranking of rules (10)")
      ->check(CLI::Range(0.0, 600.0));
  command->add_option("--format", args->format, "text or ndjson")
      ->check(CLI::IsMember({"text", "ndjson"}));
  examples(*command,
           "  bounced rules bench                                        the built-in rules\n"
           "  bounced rules bench /etc/bounced/rules --corpus mail.log   own rules, own mail\n\n"
           "Each rule in turn is left out and the rest compiled and timed against all, those first "
           "that are likely\nto cost most, as long as --seconds allow. Times are one thread's "
           "CPU time, the least of\nseveral rounds; what the program was built with is not "
           "compiled again.");
  command->callback([&app, args] { app.run = [&app, args] { return bench(app, *args); }; });
}

}  // namespace bounced::cli
