// Rules and causes as the files state them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bounced/cause.h"
#include "bounced/event.h"
#include "bounced/verdict.h"
#include "classify/learned.h"

namespace bounced::classify {

/// A trouble found in rule files; the words of Error, with a place.
struct Problem {
  enum class Level : std::uint8_t { error, warning, note };
  Level level = Level::error;
  std::string file;
  std::uint32_t line = 0;  ///< 1-based; 0 = the whole file
  std::string rule;        ///< rule or cause id; may be empty
  std::string message;
  std::string hint;  ///< what to do; may be empty
  /// "file:line: rule: message; hint"
  [[nodiscard]] std::string text() const;
};

/// "550" (exact) or "5xx" (by first digit).
struct CodePattern {
  std::uint16_t low = 0;
  std::uint16_t high = 0;
  [[nodiscard]] bool matches(std::uint16_t code) const { return code >= low && code <= high; }
};

/// "5.4.1", "5.7.x", "x.2.2"; 0xffff and class 0 are the x.
struct EnhancedPattern {
  std::uint16_t subject = 0xffff;
  std::uint16_t detail = 0xffff;
  std::uint8_t klass = 0;
  std::uint8_t unused = 0;  ///< no padding: kept in images
  [[nodiscard]] bool matches(const EnhancedCode& code) const {
    return code.present() && (klass == 0 || klass == code.klass) &&
           (subject == 0xffff || subject == code.subject) &&
           (detail == 0xffff || detail == code.detail);
  }
};

/// A failure that a rule must win (sample) or must not win (miss).
struct Sample {
  std::string text;
  std::string mta;  ///< answering host; empty = the rule's first provider
  std::string recipient_domain;
  std::uint16_t smtp_code = 0;
  EnhancedCode enhanced;
  Phase phase = Phase::none;
  EventKind kind = EventKind::none;  ///< none = by the rule's predicate, else by the code
  std::uint32_t line = 0;
};

struct Rule {
  std::string id;
  std::string cause;
  std::string file;  ///< as shown in messages
  std::uint32_t line = 0;
  std::uint32_t precedence = 0;                          ///< of its directory: operators' above 0
  std::uint8_t confidence = 95;                          ///< percent
  Severity severity = Severity::none;                    ///< override
  std::vector<std::string> any, with, all, none, regex;  ///< `none`: key "not"
  std::vector<CodePattern> smtp;
  std::vector<EnhancedPattern> enhanced;
  std::vector<Phase> phases;
  std::vector<EventKind> kinds;
  std::vector<std::string> providers;  ///< lower case
  std::vector<Sample> samples, misses;

  [[nodiscard]] bool has_text() const {
    return !any.empty() || !with.empty() || !all.empty() || !regex.empty();
  }
  [[nodiscard]] std::uint32_t predicates() const {
    return (smtp.empty() ? 0u : 1u) + (enhanced.empty() ? 0u : 1u) + (phases.empty() ? 0u : 1u) +
           (kinds.empty() ? 0u : 1u) + (providers.empty() ? 0u : 1u);
  }
  [[nodiscard]] std::string where() const { return file + ":" + std::to_string(line); }
};

struct CauseEntry {
  CauseInfo info;
  std::string file;
  std::uint32_t line = 0;
};

/// Everything read from a set of files, in order of precedence, file name and line.
struct RuleFiles {
  std::vector<std::string> known_causes;  ///< as RuleSetOptions::known_causes
  std::vector<Rule> rules;
  std::vector<CauseEntry> causes;
  std::vector<Problem> problems;
  Learned learned;          ///< what words weigh
  bool with_words = false;  ///< where `learned` is empty: what the program has learned
};

}  // namespace bounced::classify
