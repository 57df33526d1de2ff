#include "classify/phrases.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <string>
#include <unordered_map>
#include <utility>

namespace bounced::classify {
namespace {

using std::string_view;
using Place = Phrases::Place;

/// A word of a literal.
struct Word {
  string_view text;
  std::uint32_t at = 0;
  Place place = Place::whole;
};

std::vector<Word> words_of(string_view literal) {
  std::vector<Word> words;
  for (std::size_t from = 0; from < literal.size();) {
    std::size_t to = std::min(literal.find(' ', from), literal.size());
    if (to > from) {
      const Place place = to == literal.size() ? Place::front
                          : from == 0          ? Place::back
                                               : Place::whole;
      words.push_back({literal.substr(from, to - from), static_cast<std::uint32_t>(from), place});
    }
    from = to + 1;
  }
  return words;
}

/// The hash of a word grows byte by byte, so that of all beginnings of a word is had in one walk.
constexpr std::uint32_t kForward = 0x811c9dc5u, kBackward = 0x9747b28cu;
/// Sets anchors that are a word's front apart from the same ones that are whole.
constexpr std::uint32_t kFront = 0x2f0b4c47u;
std::uint32_t grow(std::uint32_t hash, char c) {
  hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193u;
  return hash ^ (hash >> 15);
}

std::uint32_t seed_of(Place place) {
  return place == Place::back ? kBackward : kForward;
}
/// The i-th byte of a walk: ends of words are walked backwards.
char step(string_view word, Place place, std::size_t i) {
  return word[place == Place::back ? word.size() - 1 - i : i];
}
std::uint32_t hash_of(string_view word, Place place) {
  std::uint32_t hash = seed_of(place);
  for (std::size_t i = 0; i < word.size(); ++i) hash = grow(hash, step(word, place, i));
  return place == Place::front ? hash ^ kFront : hash;
}

/// Of the two bits of a way.
constexpr std::uint64_t kGoesOn = 1, kEnds = 2;
constexpr std::size_t kWaysAWord = 32;

/// How often words stand in literals, which is about how often they stand in replies.
class Frequencies {
 public:
  void add(string_view word) { ++whole_[word]; }
  void settle() {
    for (const auto& [word, count] : whole_) {
      forward_.words.emplace_back(word, count);
      backward_.words.emplace_back(std::string(word.rbegin(), word.rend()), count);
    }
    forward_.settle();
    backward_.settle();
  }
  /// Of all words in which `word` stands at this place.
  [[nodiscard]] std::uint64_t of(const Word& word) const {
    if (word.place == Place::front) return forward_.begun_by(std::string(word.text));
    if (word.place == Place::back)
      return backward_.begun_by({word.text.rbegin(), word.text.rend()});
    const auto at = whole_.find(word.text);
    return at == whole_.end() ? 0 : at->second;
  }

 private:
  struct Sorted {
    std::vector<std::pair<std::string, std::uint64_t>> words;  ///< with the sum up to here
    void settle() {
      std::sort(words.begin(), words.end());
      std::uint64_t sum = 0;
      for (auto& [word, count] : words) count = sum += count;
    }
    [[nodiscard]] std::uint64_t begun_by(const std::string& front) const {
      const auto before = [](const auto& entry, const std::string& text) {
        return entry.first < text;
      };
      const auto from = std::lower_bound(words.begin(), words.end(), front, before);
      const auto to = std::upper_bound(from, words.end(), front,
                                       [](const std::string& text, const auto& entry) {
                                         return entry.first.compare(0, text.size(), text) > 0;
                                       });
      return to == from ? 0 : (to - 1)->second - (from == words.begin() ? 0 : (from - 1)->second);
    }
  };
  std::unordered_map<string_view, std::uint64_t> whole_;
  Sorted forward_, backward_;
};

/// Eight bytes beside the word, on the side where the literal has more of them. The blank beside
/// the word tells nothing and is left out where there are others.
Candidate candidate_of(string_view literal, const Word& word, std::uint32_t pattern) {
  constexpr std::size_t kLook = sizeof(Candidate::bytes);
  const std::size_t before = word.at;
  const std::size_t end = word.at + word.text.size();
  const std::size_t after = literal.size() - end;
  Candidate out;
  out.pattern = pattern;
  out.size = static_cast<std::uint32_t>(literal.size()) & 0x7fffffffu;
  char bytes[kLook] = {}, mask[kLook] = {};
  const auto keep = [&](std::size_t to, std::size_t from, std::size_t n) {
    literal.copy(bytes + to, n, from);
    std::memset(mask + to, 0xff, n);
  };
  std::int32_t look = 0;  // from the word's first byte in the literal
  if (before >= after) {
    const std::size_t skip = before > kLook ? 1 : 0;
    const std::size_t n = std::min(kLook, before - skip);
    keep(kLook - n, before - skip - n, n);
    look = -static_cast<std::int32_t>(kLook + skip);
  } else {
    const std::size_t skip = after > kLook ? 1 : 0;
    keep(0, end + skip, std::min(kLook, after - skip));
    look = static_cast<std::int32_t>(word.text.size() + skip);
  }
  std::memcpy(&out.bytes, bytes, kLook);
  std::memcpy(&out.mask, mask, kLook);
  // At the end of a longer word, all is counted from that word's end until its size is known.
  const std::int32_t shift =
      word.place == Place::back ? static_cast<std::int32_t>(word.text.size()) : 0;
  out.look = look - shift;
  out.start = -static_cast<std::int32_t>(before) - shift;
  out.sure = std::min(before, after) <= 1 && std::max(before, after) <= kLook + 1 ? 1 : 0;
  return out;
}

/// A literal that begins at `start` of a word has the word's bytes where they meet, and blanks
/// beside it.
bool agrees(string_view literal, std::int32_t start, string_view word) {
  const std::size_t skipped = start < 0 ? static_cast<std::size_t>(-std::int64_t{start}) : 0;
  const std::size_t from = start < 0 ? 0 : static_cast<std::size_t>(start);
  if (skipped >= literal.size() || from >= word.size()) return false;
  const std::size_t meet = std::min(literal.size() - skipped, word.size() - from);
  const std::size_t end = skipped + meet;
  return literal.compare(skipped, meet, word, from, meet) == 0 &&
         (skipped == 0 || literal[skipped - 1] == ' ') &&
         (end == literal.size() || literal[end] == ' ');
}

}  // namespace

bool Phrases::is_phrase(string_view literal) {
  const auto first = literal.find_first_not_of(' ');
  if (first == string_view::npos) return false;
  return literal.find(' ', first) < literal.find_last_not_of(' ');
}

Phrases::Phrases(const std::vector<std::string>& literals) {
  Frequencies frequencies;
  std::vector<std::pair<std::uint32_t, std::vector<Word>>> phrases;
  for (std::size_t i = 0; i < literals.size(); ++i) {
    if (!is_phrase(literals[i])) continue;
    phrases.emplace_back(static_cast<std::uint32_t>(i), words_of(literals[i]));
    for (const Word& word : phrases.back().second) frequencies.add(word.text);
  }
  frequencies.settle();
  // Anchors share most of their beginnings: measured, one way in five is taken.
  ways_.assign(std::bit_ceil(phrases.size() / 2 + 1), 0);
  std::vector<std::pair<std::uint32_t, Candidate>> found;  // by the anchor's hash
  for (const auto& [pattern, words] : phrases) {
    const Word* anchor = nullptr;
    std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
    for (const Word& word : words) {
      const std::uint64_t frequency = frequencies.of(word);
      if (frequency >= least) continue;
      least = frequency;
      anchor = &word;
    }
    found.emplace_back(hash_of(anchor->text, anchor->place),
                       candidate_of(literals[pattern], *anchor, pattern));
    mark_way(anchor->text, anchor->place);
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  slots_.assign(std::bit_ceil(found.size() * 2 + 1), Slot{});
  for (std::size_t i = 0; i < found.size();) {
    Slot slot{found[i].first, static_cast<std::uint32_t>(i), 0};
    for (; i < found.size() && found[i].first == slot.hash; ++i, ++slot.size) {
      candidates_.push_back(found[i].second);
    }
    add_slot(slot);
  }
}

void Phrases::add_slot(const Slot& slot) {
  std::size_t at = slot.hash & (slots_.size() - 1);
  while (slots_[at].size != 0) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = slot;
}

void Phrases::add_of(std::uint32_t hash, std::int32_t shift, string_view word,
                     const Texts& patterns, std::vector<Candidate>& out) const {
  for (std::size_t at = hash & (slots_.size() - 1); slots_[at].size != 0;
       at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.hash != hash) continue;
    for (std::uint32_t i = slot.begin; i < slot.begin + slot.size; ++i) {
      Candidate candidate = candidates_[i];
      candidate.start += shift;
      candidate.look += shift;
      if (agrees(patterns[candidate.pattern], candidate.start, word)) out.push_back(candidate);
    }
    return;
  }
}

void Phrases::mark_way(string_view anchor, Place place) {
  std::uint32_t hash = seed_of(place);
  for (std::size_t i = 0; i < anchor.size(); ++i) {
    hash = grow(hash, step(anchor, place, i));
    const std::size_t at = hash & (ways_.size() * kWaysAWord - 1);
    ways_[at / kWaysAWord] |= (i + 1 == anchor.size() ? kGoesOn | kEnds : kGoesOn)
                              << (at % kWaysAWord * 2);
  }
}

inline std::uint64_t Phrases::way(std::uint32_t hash) const {
  const std::size_t at = hash & (ways_.size() * kWaysAWord - 1);
  return ways_[at / kWaysAWord] >> (at % kWaysAWord * 2) & (kGoesOn | kEnds);
}

void Phrases::add_candidates(string_view word, const Texts& patterns,
                             std::vector<Candidate>& out) const {
  if (slots_.empty()) return;
  const std::size_t size = word.size();
  std::uint32_t hash = kForward;
  for (std::size_t i = 0; i < size; ++i) {
    hash = grow(hash, word[i]);
    const std::uint64_t way_on = way(hash);
    if (way_on == 0) break;
    if ((way_on & kEnds) == 0) continue;
    add_of(hash ^ kFront, 0, word, patterns, out);
    if (i + 1 == size) add_of(hash, 0, word, patterns, out);
  }
  hash = kBackward;
  for (std::size_t i = size; i > 0; --i) {
    hash = grow(hash, word[i - 1]);
    const std::uint64_t way_on = way(hash);
    if (way_on == 0) break;
    if ((way_on & kEnds) != 0) add_of(hash, static_cast<std::int32_t>(size), word, patterns, out);
  }
}

}  // namespace bounced::classify
