// Labelled replies, one JSON object a line (rules/replies,
// tests/golden): what is learned from, and judged by.
#pragma once

#include <simdjson.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bounced/classifier.h"
#include "classify/learn.h"
#include "classify/rule_file.h"

namespace bounced {

/// A reply whose cause is known. `accept`: other causes that are right, too.
struct Labelled {
  std::string where;  ///< file:line
  std::string diagnostic, mta, cause;
  std::vector<std::string> accept;
  std::uint16_t smtp_code = 0;
  EnhancedCode enhanced;
  Phase phase = Phase::none;
  EventKind kind = EventKind::bounced;
  classify::Ruled ruled;  ///< by the rules alone, where these were asked

  [[nodiscard]] bool accepts(std::string_view other) const {
    return other == cause || std::find(accept.begin(), accept.end(), other) != accept.end();
  }
  /// Views live as long as this.
  [[nodiscard]] Failure failure() const {
    Failure failure;
    failure.diagnostic = diagnostic;
    failure.smtp_code = smtp_code;
    failure.enhanced = enhanced;
    failure.mta_host = mta;
    failure.phase = phase;
    failure.kind = kind;
    return failure;
  }
};

/// One line; false when it is no JSON object, or says something that nobody understands.
inline bool read_reply(const simdjson::dom::element& object, Labelled& out) {
  const auto text = [&](const char* key) {
    std::string_view value;
    return object[key].get(value) == simdjson::SUCCESS ? std::string(value) : std::string();
  };
  out.diagnostic = text("diagnostic");
  out.mta = text("mta");
  out.cause = text("cause");
  std::uint64_t code = 0;
  if (object["smtp_code"].get(code) == simdjson::SUCCESS) {
    out.smtp_code = static_cast<std::uint16_t>(code);
  }
  simdjson::dom::array accept;
  if (object["accept"].get(accept) == simdjson::SUCCESS) {
    for (const simdjson::dom::element also : accept) {
      std::string_view cause;
      if (also.get(cause) == simdjson::SUCCESS) out.accept.emplace_back(cause);
    }
  }
  const std::string enhanced = text("enhanced"), phase = text("phase"), kind = text("kind");
  return !out.diagnostic.empty() && builtin_cause(out.cause) != Cause::none &&
         (enhanced.empty() || classify::parse_enhanced(enhanced, out.enhanced)) &&
         (phase.empty() || from_string(phase, out.phase)) &&
         (kind.empty() || from_string(kind, out.kind));
}

/// Appends all *.ndjson of a folder, by name. What is wrong in them ends the program.
inline void read_replies(const std::filesystem::path& folder, std::vector<Labelled>& replies) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".ndjson") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  simdjson::dom::parser parser;
  for (const std::filesystem::path& file : files) {
    std::ifstream in(file);
    std::string line;
    for (int number = 1; std::getline(in, line); ++number) {
      if (line.empty()) continue;
      Labelled reply;
      reply.where = (folder.filename() / file.filename()).string() + ":" + std::to_string(number);
      simdjson::dom::element object;
      if (parser.parse(line).get(object) != simdjson::SUCCESS || !read_reply(object, reply)) {
        std::fprintf(stderr, "%s: not a labelled reply\n", reply.where.c_str());
        std::exit(3);
      }
      replies.push_back(std::move(reply));
    }
  }
}

inline std::vector<Labelled> samples_of(const std::vector<classify::Rule>& rules) {
  std::vector<Labelled> samples;
  for (const classify::Rule& rule : rules) {
    for (const classify::Sample& sample : rule.samples) {
      Labelled reply;
      reply.where = rule.file + ":" + std::to_string(sample.line);
      reply.diagnostic = sample.text;
      reply.mta = sample.mta;
      reply.cause = rule.cause;
      reply.smtp_code = sample.smtp_code;
      reply.enhanced = sample.enhanced;
      reply.phase = sample.phase;
      if (sample.kind != EventKind::none) reply.kind = sample.kind;
      samples.push_back(std::move(reply));
    }
  }
  return samples;
}

inline std::vector<classify::Lesson> lessons_of(const std::vector<Labelled>& replies) {
  std::vector<classify::Lesson> lessons;
  for (const Labelled& reply : replies) {
    lessons.push_back({reply.diagnostic, reply.smtp_code, reply.enhanced, reply.phase, reply.kind,
                       builtin_cause(reply.cause), reply.ruled});
  }
  return lessons;
}

/// The table of concepts (rules/replies/concepts.toml). What is wrong in it ends the program.
inline classify::Concepts read_concepts(const std::string& path) {
  std::vector<std::string> names;
  std::vector<classify::Concepts::Entry> entries;
  const auto wrong = [&](const std::string& what) {
    std::fprintf(stderr, "%s: %s\n", path.c_str(), what.c_str());
    std::exit(3);
  };
  try {
    const toml::table file = toml::parse_file(path);
    const toml::table* const rows = file["concepts"].as_table();
    if (rows == nullptr) wrong("no [concepts]");
    for (const auto& [name, words] : *rows) {
      const auto text = words.value<std::string>();
      if (!text) wrong(std::string(name.str()) + ": is no text");
      const auto read = classify::read_concept(name.str(), *text, names, entries);
      if (!read) wrong(read.error().message());
    }
  } catch (const toml::parse_error& error) {
    wrong(std::string(error.description()));
  }
  return classify::Concepts(entries);
}

/// The labelled replies of folders, with what `rules` alone say of each: how far that is to be
/// trusted is learned, too. Most replies are none that a rule was made from.
inline std::vector<Labelled> read_lessons(const std::shared_ptr<const RuleSet>& rules,
                                          const std::vector<std::string>& folders) {
  std::vector<Labelled> replies;
  for (const std::string& folder : folders) read_replies(folder, replies);
  Classifier classifier(rules, {false, {}, false});
  Explanation explanation;
  for (Labelled& reply : replies) {
    const Verdict verdict = classifier.explain(reply.failure(), explanation);
    if (explanation.matches.empty()) continue;
    reply.ruled = {verdict.cause, verdict.confidence, explanation.matches.front().length};
  }
  return replies;
}

}  // namespace bounced
