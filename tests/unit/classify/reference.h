// A plain matcher beside Matcher and memo: what they are held to.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 with sanitizers: a false alarm inside <regex>.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <algorithm>
#include <map>
#include <regex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/text.h"
#include "bounced/limits.h"
#include "classify/codes.h"
#include "classify/finder.h"
#include "classify/normalise.h"
#include "classify/rule_set.h"

namespace bounced::classify::testing {

/// The first `literals` patterns that are in the text, asked one by one.
inline std::vector<std::uint32_t> literals_in(std::string_view text, const Texts& patterns,
                                              std::size_t literals) {
  std::vector<std::uint32_t> found;
  for (std::uint32_t i = 0; i < literals; ++i) {
    if (text.find(patterns[i]) != std::string_view::npos) found.push_back(i);
  }
  return found;
}

/// What a finder tells, each once, in order.
inline std::vector<std::uint32_t> found_by(Finder& finder, std::string_view text) {
  const auto finds = finder.run(text);
  std::vector<std::uint32_t> found(finds.begin(), finds.end());
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

/// The winner by the words of DESIGN section 7, told anew, with std::regex for regexes.
class Reference {
 public:
  explicit Reference(const RuleSet& rules) : rules_(rules) {
    for (const Rule& rule : rules.rules()) {
      for (const std::string& regex : rule.regex) {
        unsigned width = 0;
        regex_error(regex, width);
        regexes_.emplace(regex, std::pair{std::regex(regex), width});
      }
    }
  }

  RuleId winner(const Failure& f) {
    Normalised n;
    normaliser_.run(f.diagnostic.substr(0, limits::kDiagnosticBytesMax), f.smtp_code, n);
    text_ = n.text;
    smtp_ = n.smtp_code != 0 ? n.smtp_code : f.smtp_code;
    enhanced_ = n.enhanced.present() ? n.enhanced : f.enhanced;
    if (smtp_ == 0 && !enhanced_.present()) {
      smtp_ = n.nested_smtp;
      enhanced_ = n.nested_enhanced;
    }
    phase_ = f.phase != Phase::none ? f.phase : n.phase;
    provider_ = longest_provider(ascii_lower(f.mta_host));
    if (provider_.empty()) provider_ = longest_provider(ascii_lower(f.recipient_domain));
    const Rule* best = nullptr;
    std::size_t best_length = 0;
    for (const Rule& rule : rules_.rules()) {
      std::size_t length = 0;
      if (!holds(rule, f.kind, length)) continue;
      if (best == nullptr || key(rule, length) > key(*best, best_length)) {
        best = &rule;
        best_length = length;
      }
    }
    if (best != nullptr) return static_cast<RuleId>(best - rules_.rules().data()) + 1;
    return static_cast<RuleId>(rules_.rules().size()) + 1 +
           find_code_row(smtp_, enhanced_, f.hint, f.kind);
  }

 private:
  using Key = std::tuple<unsigned, bool, bool, unsigned, std::size_t>;
  static Key key(const Rule& rule, std::size_t length) {
    return {rule.precedence, !rule.providers.empty(), rule.has_text(), rule.predicates(), length};
  }

  bool in_text(const std::string& literal) const {
    return text_.find(literal) != std::string::npos;
  }

  static bool suffix(const std::string& name, const std::string& of) {
    return name == of ||
           (name.size() > of.size() && name.compare(name.size() - of.size(), of.size(), of) == 0 &&
            name[name.size() - of.size() - 1] == '.');
  }

  std::string longest_provider(std::string name) const {
    if (!name.empty() && name.back() == '.') name.pop_back();
    std::string best;
    for (const Rule& rule : rules_.rules()) {
      for (const std::string& p : rule.providers) {
        if (suffix(name, p) && p.size() > best.size()) best = p;
      }
    }
    return best;
  }

  bool holds(const Rule& rule, EventKind kind, std::size_t& length) const {
    const auto note = [&](const std::string& literal) {
      if (!in_text(literal)) return false;
      length = std::max(length, literal.size());
      return true;
    };
    bool any = rule.any.empty() && rule.regex.empty();
    for (const std::string& literal : rule.any) any = note(literal) || any;
    for (const std::string& regex : rule.regex) {
      const auto& [compiled, width] = regexes_.at(regex);
      if (!std::regex_search(text_, compiled)) continue;
      any = true;
      length = std::max<std::size_t>(length, width);
    }
    bool with = rule.with.empty();
    for (const std::string& literal : rule.with) with = note(literal) || with;
    bool all = true;
    for (const std::string& literal : rule.all) all = note(literal) && all;
    for (const std::string& literal : rule.none) {
      if (in_text(literal)) return false;
    }
    if (!any || !with || !all) return false;
    const auto one_of = [](const auto& list, auto test) {
      return list.empty() || std::any_of(list.begin(), list.end(), test);
    };
    return one_of(rule.smtp, [&](const CodePattern& p) { return p.matches(smtp_); }) &&
           one_of(rule.enhanced, [&](const EnhancedPattern& p) { return p.matches(enhanced_); }) &&
           one_of(rule.phases, [&](Phase p) { return p == phase_; }) &&
           one_of(rule.kinds, [&](EventKind k) { return k == kind; }) &&
           one_of(rule.providers, [&](const std::string& p) { return suffix(provider_, p); });
  }

  const RuleSet& rules_;
  std::map<std::string, std::pair<std::regex, unsigned>> regexes_;  ///< with their least width
  Normaliser normaliser_;
  std::string text_;
  std::string provider_;
  std::uint16_t smtp_ = 0;
  EnhancedCode enhanced_;
  Phase phase_ = Phase::none;
};

}  // namespace bounced::classify::testing
