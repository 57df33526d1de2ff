// TemplateMiner: what many texts have in common, found as they come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace bounced::classify {

/// Clusters normalised texts by their words, after Drain (He et al., "Drain: An Online Log Parsing
/// Approach with Fixed Depth Tree", ICWS 2017): texts of as many words that begin alike are
/// compared word by word; one that is alike enough joins, and where it differs the template gets
/// `{*}`. The same texts in the same order make the same templates. Thread safety: none.
class TemplateMiner {
 public:
  struct Options {
    std::size_t templates_max = 4'096;  ///< further unlike texts count as kNone
    std::size_t words_max = 96;         ///< of a text; the rest is not looked at
    unsigned alike_percent = 60;        ///< of the words that must be the same
  };
  static constexpr std::size_t kNone = SIZE_MAX;
  static constexpr std::string_view kVariable = "{*}";

  TemplateMiner() : TemplateMiner(Options()) {}
  explicit TemplateMiner(Options options) : options_(options) {}

  /// The number of the text's template; kNone when there is no room for a new one. `text` is
  /// normalised: what the normaliser knows to vary is a placeholder already.
  std::size_t add(std::string_view text);
  [[nodiscard]] std::size_t size() const { return templates_.size(); }
  [[nodiscard]] const std::vector<std::string>& words(std::size_t number) const {
    return templates_[number];
  }
  [[nodiscard]] std::string text(std::size_t number) const;

 private:
  Options options_;
  std::vector<std::vector<std::string>> templates_;
  /// Number of words and the first of them -> templates.
  std::unordered_map<std::string, std::vector<std::uint32_t>> leaves_;
  std::vector<std::string_view> split_;
};

/// The runs of a template's words that a rule may look for: literals that the normaliser leaves as
/// they are, without placeholders; those that say most first. Empty when there are none.
std::vector<std::string> literals_of(const std::vector<std::string>& words);

}  // namespace bounced::classify
