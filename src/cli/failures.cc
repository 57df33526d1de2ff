#include "cli/failures.h"

#include <algorithm>
#include <fstream>

#include "cli/failure_input.h"
#include "cli/progress.h"
#include "parse/parse.h"

namespace bounced::cli {
namespace {

constexpr std::size_t kProbeBytes = 64 * 1024;

/// Whether parse knows the file's format; compressed files are logs.
Result<bool> is_log(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ErrorCode::io, "open", path, std::strerror(errno));
  std::string head(kProbeBytes, '\0');
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<std::size_t>(in.gcount()));
  for (const std::string_view magic : {"\x1f\x8b", "\x28\xb5\x2f\xfd",
                                       "\xfd"
                                       "7zXZ",
                                       "BZh"}) {
    if (head.rfind(magic, 0) == 0) return true;
  }
  const std::string_view first = std::string_view(head).substr(0, head.find('\n'));
  if (first.find("\"diagnostic\"") != std::string_view::npos) return false;
  return parse::probe_format(head) >= 0;
}

Result<void> visit_logs(App& app, const std::vector<std::string>& files,
                        const FailureVisitor& visit) {
  auto config = app.config();
  if (!config) return tl::unexpected(config.error());
  pipeline::Options options = engine_options(*config);
  options.data_dir.clear();
  options.rules.cache_dir.clear();
  options.keep_state = false;
  options.on_events = [&visit](const Batch& batch, std::span<Event* const> events) {
    for (const Event* event : events) {
      if (!event->failing() || event->has(EventFlags::kSynthesised)) continue;
      FailureFacts facts;
      facts.address = batch.view(event->recipient);
      facts.failure.diagnostic = batch.view(event->diagnostic);
      facts.failure.smtp_code = event->smtp_code;
      facts.failure.enhanced = event->enhanced;
      facts.failure.phase = event->phase;
      facts.failure.kind = event->kind;
      facts.failure.hint = event->hint;
      facts.failure.mta_host = batch.view(event->mta_host);
      facts.failure.recipient_domain = raw_domain(facts.address);
      visit(facts);
    }
  };
  auto engine = pipeline::Engine::open(std::move(options));
  if (!engine) return tl::unexpected(engine.error());
  pipeline::ReplayConfig replay_config;
  replay_config.files = files;
  replay_config.fresh = true;
  replay_config.cancelled = [&app] { return app.io.broken(); };
  auto replay = (*engine)->replay(replay_config);
  if (!replay) return tl::unexpected(replay.error());
  {
    const ProgressBar bar(app.io, true, [&] {
      const auto progress = replay->progress();
      return ProgressState{progress.bytes_read, progress.bytes_total,
                           (*engine)->metrics().lines.lines};
    });
    while (!replay->wait_for(20'000) && !app.io.broken()) {
    }
  }
  if (!app.io.broken()) {
    if (auto done = replay->wait(); !done) return done;
  }
  return (*engine)->stop();
}

/// One line source: stdin or a file.
Result<void> visit_lines(const std::function<bool(std::string&)>& next, const FailureVisitor& visit,
                         std::uint64_t& malformed) {
  simdjson::dom::parser parser;
  const FailureInput defaults;
  FailureInput input;
  std::string line;
  while (next(line)) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    if (!read_failure(parser, line, defaults, input)) {
      ++malformed;
      continue;
    }
    // Events of `bounced parse`: the deliveries among them say nothing here.
    if (input.diagnostic.empty()) continue;
    visit({input.failure, input.domain, input.cause.empty() ? input.label : input.cause, 0});
  }
  return {};
}

}  // namespace

Result<void> visit_files(App& app, const std::vector<std::string>& files,
                         const FailureVisitor& visit, std::uint64_t& malformed) {
  std::vector<std::string> logs;
  for (const std::string& file : files) {
    if (file == "-") {
      auto done =
          visit_lines([&](std::string& line) { return app.io.read_line(line); }, visit, malformed);
      if (!done) return done;
      continue;
    }
    const std::string path = app.path(file);
    auto log = is_log(path);
    if (!log) return tl::unexpected(log.error());
    if (*log) {
      logs.push_back(path);
      continue;
    }
    std::ifstream in(path);
    auto done =
        visit_lines([&](std::string& line) { return static_cast<bool>(std::getline(in, line)); },
                    visit, malformed);
    if (!done) return done;
    if (in.bad()) return fail(ErrorCode::io, "read", path, std::strerror(errno));
  }
  return logs.empty() ? Result<void>() : visit_logs(app, logs, visit);
}

Result<void> visit_histories(const Session& session,
                             const std::function<void(const History&)>& visit) {
  std::optional<Error> bad;
  std::string at;
  History history;
  const auto tell = [&] {
    if (history.evidence.empty()) return;
    auto record = session.store().get(store::Family::address, at);
    if (!record) {
      bad = record.error();
      return;
    }
    history.state = {};
    if (record->has_value()) {
      auto state = state::decode(**record);
      if (!state) {
        bad = state.error();
        return;
      }
      history.state = std::move(*state);
    }
    std::stable_sort(history.evidence.begin(), history.evidence.end(),
                     [](const auto& a, const auto& b) { return a.time_us < b.time_us; });
    visit(history);
  };
  auto scanned = session.store().scan(store::Family::evidence, {}, {},
                                      [&](std::string_view key, std::string_view value) {
                                        if (key.substr(0, key.size() - 1) != at) {
                                          tell();
                                          at = key.substr(0, key.size() - 1);
                                          history.evidence.clear();
                                        }
                                        auto evidence = state::decode_evidence(value);
                                        if (evidence) {
                                          history.evidence.push_back(std::move(*evidence));
                                        } else {
                                          bad = evidence.error();
                                        }
                                        return !bad.has_value();
                                      });
  if (!scanned) return scanned;
  if (!bad.has_value()) tell();
  if (bad.has_value()) return tl::unexpected(*bad);
  return {};
}

Result<void> visit_evidence(const Session& session, const FailureVisitor& visit) {
  return visit_histories(session, [&](const History& history) {
    for (const state::Evidence& evidence : history.evidence) {
      if (evidence.diagnostic.empty()) continue;
      FailureFacts facts;
      facts.address = history.state.text;
      facts.time_us = evidence.time_us;
      facts.failure.diagnostic = evidence.diagnostic;
      facts.failure.smtp_code = evidence.smtp_code;
      facts.failure.enhanced = evidence.enhanced;
      facts.failure.phase = evidence.phase;
      facts.failure.kind = evidence.kind;
      facts.failure.mta_host = evidence.mta_host;
      facts.failure.recipient_domain = raw_domain(facts.address);
      visit(facts);
    }
  });
}

}  // namespace bounced::cli
