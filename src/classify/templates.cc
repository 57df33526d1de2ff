#include "classify/templates.h"

#include <algorithm>

#include "classify/chars.h"
#include "classify/normalise.h"

namespace bounced::classify {
namespace {

/// Templates of one leaf that a text is compared with: the cost of a text is bounded.
constexpr std::size_t kLeafMax = 256;
/// A literal of fewer bytes would be found in texts about something else.
constexpr std::size_t kLiteralBytesMin = 8;
constexpr std::size_t kLiteralWordsMax = 8;
constexpr std::size_t kLiteralsMax = 3;

bool has_digit(std::string_view word) {
  return std::any_of(word.begin(), word.end(), [](char c) { return is_digit(c); });
}

/// Words that say what varies, or may.
bool varies(std::string_view word) {
  return word.find('{') != std::string_view::npos || has_digit(word);
}

bool stays(Normaliser& normaliser, const std::string& literal) {
  Normalised normal;
  normaliser.run(literal, 0, normal);
  return normal.text == literal;
}

std::string join(const std::vector<std::string>& words, std::size_t from, std::size_t to) {
  std::string text;
  for (std::size_t i = from; i < to; ++i) text += (text.empty() ? "" : " ") + words[i];
  return text;
}

/// The longest part of words [from, to) that the normaliser leaves alone; empty when none is worth
/// looking for. Wrapping and codes stand at the edges, so that words are dropped there.
std::string literal_in(Normaliser& normaliser, const std::vector<std::string>& words,
                       std::size_t from, std::size_t to) {
  for (std::size_t size = std::min(to - from, kLiteralWordsMax); size > 0; --size) {
    for (std::size_t begin = from; begin + size <= to; ++begin) {
      std::string literal = join(words, begin, begin + size);
      while (!literal.empty() &&
             std::string_view(".,;:!").find(literal.back()) != std::string_view::npos) {
        literal.pop_back();
      }
      if (literal.size() >= kLiteralBytesMin && stays(normaliser, literal)) return literal;
    }
  }
  return {};
}

}  // namespace

std::size_t TemplateMiner::add(std::string_view text) {
  split_.clear();
  for (std::size_t at = 0; at < text.size() && split_.size() < options_.words_max;) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    if (end > at) split_.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  std::string leaf = std::to_string(split_.size()) + ' ';
  if (!split_.empty() && !varies(split_.front())) leaf += split_.front();
  std::vector<std::uint32_t>& candidates = leaves_[leaf];
  std::size_t best = kNone;
  std::size_t most = 0;
  for (const std::uint32_t number : candidates) {
    const std::vector<std::string>& words = templates_[number];
    std::size_t same = 0;
    for (std::size_t i = 0; i < split_.size(); ++i) same += words[i] == split_[i] ? 1 : 0;
    if (best == kNone || same > most) best = number, most = same;
  }
  if (best != kNone && most * 100 >= split_.size() * options_.alike_percent) {
    for (std::size_t i = 0; i < split_.size(); ++i) {
      if (templates_[best][i] != split_[i]) templates_[best][i] = kVariable;
    }
    return best;
  }
  if (templates_.size() >= options_.templates_max || candidates.size() >= kLeafMax) return kNone;
  candidates.push_back(static_cast<std::uint32_t>(templates_.size()));
  templates_.emplace_back(split_.begin(), split_.end());
  return templates_.size() - 1;
}

std::string TemplateMiner::text(std::size_t number) const {
  return join(templates_[number], 0, templates_[number].size());
}

std::vector<std::string> literals_of(const std::vector<std::string>& words) {
  Normaliser normaliser;
  std::vector<std::string> literals;
  for (std::size_t from = 0; from < words.size();) {
    std::size_t to = from;
    while (to < words.size() && !varies(words[to])) ++to;
    if (std::string literal = literal_in(normaliser, words, from, to); !literal.empty()) {
      literals.push_back(std::move(literal));
    }
    from = to + 1;
  }
  std::stable_sort(literals.begin(), literals.end(),
                   [](const auto& a, const auto& b) { return a.size() > b.size(); });
  if (literals.size() > kLiteralsMax) literals.resize(kLiteralsMax);
  return literals;
}

}  // namespace bounced::classify
