// What the tests of classify share: a small rule set, and real diagnostics.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/classifier.h"
#include "classify/rule_file.h"
#include "classify/rule_set.h"

namespace bounced::classify::testing {

/// The shipped causes, so that tests of rules need not repeat them.
inline std::string shipped_causes() {
  std::ifstream in(BOUNCED_SOURCE_DIR "/rules/causes.toml");
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

struct TextFile {
  std::string name;
  std::string text;
  std::uint32_t precedence = 0;
};

inline RuleFiles read_texts(const std::vector<TextFile>& files) {
  RuleFiles out;
  read_rule_text(shipped_causes(), "causes.toml", 0, out);
  for (const TextFile& file : files) read_rule_text(file.text, file.name, file.precedence, out);
  RuleSet::validate(out);
  return out;
}

inline std::shared_ptr<const RuleSet> make_rules(const std::vector<TextFile>& files,
                                                 const std::string& cache_dir = {}) {
  RuleFiles read = read_texts(files);
  for (const Problem& problem : read.problems) ADD_FAILURE() << problem.text();
  if (!read.problems.empty()) return nullptr;
  auto rules = RuleSet::build(std::move(read), cache_dir);
  if (!rules) {
    ADD_FAILURE() << rules.error().message();
    return nullptr;
  }
  return *rules;
}

inline std::shared_ptr<const RuleSet> make_rules(const std::string& text) {
  return make_rules({{"test.toml", text, 0}});
}

/// One failing log line: the MTA's whole reason.
struct Diagnostic {
  std::string text;
  std::string host;
  std::string domain;
  EventKind kind = EventKind::bounced;
};

inline std::string between(std::string_view line, std::string_view from, std::string_view to) {
  const auto at = line.find(from);
  if (at == std::string_view::npos) return {};
  const auto rest = line.substr(at + from.size());
  return std::string(rest.substr(0, rest.find(to)));
}

inline void add_postfix(std::string_view line, std::vector<Diagnostic>& out) {
  for (const auto& [mark, kind] : {std::pair{"status=bounced (", EventKind::bounced},
                                   std::pair{"status=deferred (", EventKind::deferred},
                                   std::pair{"status=SOFTBOUNCE (", EventKind::deferred}}) {
    const auto at = line.find(mark);
    if (at == std::string_view::npos) continue;
    std::string_view text = line.substr(at + std::string_view(mark).size());
    if (!text.empty() && text.back() == ')') text.remove_suffix(1);
    const std::string to = between(line, "to=<", ">");
    out.push_back({std::string(text), between(line, "relay=", "["),
                   to.substr(std::min(to.size(), to.rfind('@') + 1)), kind});
    return;
  }
}

inline void add_exim(std::string_view line, std::vector<Diagnostic>& out) {
  const bool failed = line.find(" ** ") != std::string_view::npos;
  const bool deferred = line.find(" == ") != std::string_view::npos;
  if (!failed && !deferred) return;
  auto at = line.find("SMTP error from");
  if (at == std::string_view::npos) {
    at = line.rfind(" : ");
    at = at == std::string_view::npos ? line.rfind(": ") : at + 1;
    if (at == std::string_view::npos) return;
    at += 2;
  }
  out.push_back({std::string(line.substr(at)), between(line, "H=", " "), "",
                 failed ? EventKind::bounced : EventKind::deferred});
}

/// Every failing line of the logs with ground truth; empty where those are not at hand.
inline const std::vector<Diagnostic>& real_diagnostics() {
  static const std::vector<Diagnostic> all = [] {
    std::vector<Diagnostic> out;
    const std::filesystem::path dir = BOUNCED_SOURCE_DIR "/../shared/data/mta";
    std::error_code error;
    if (!std::filesystem::is_directory(dir, error)) return out;
    std::set<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(dir)) paths.insert(entry.path());
    for (const auto& path : paths) {
      const std::string name = path.filename().string();
      if (name.find(".log") == std::string::npos) continue;
      std::ifstream in(path);
      for (std::string line; std::getline(in, line);) {
        if (name.rfind("postfix", 0) == 0) {
          add_postfix(line, out);
        } else {
          add_exim(line, out);
        }
      }
    }
    return out;
  }();
  return all;
}

inline Failure failure_of(const Diagnostic& d) {
  Failure failure;
  failure.diagnostic = d.text;
  failure.mta_host = d.host;
  failure.recipient_domain = d.domain;
  failure.kind = d.kind;
  return failure;
}

inline bool same(const Verdict& a, const Verdict& b) {
  return a.cause == b.cause && a.said == b.said && a.severity == b.severity &&
         a.bounce_class == b.bounce_class && a.category == b.category && a.fault == b.fault &&
         a.confidence == b.confidence && a.rule == b.rule && a.generation == b.generation;
}

}  // namespace bounced::classify::testing
