// Phrases: literals of more than one word, found by one of their words.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "classify/texts.h"

namespace bounced::classify {

/// A phrase that may stand around a word. Offsets count from the word's first byte.
struct Candidate {
  std::uint64_t bytes = 0, mask = 0;  ///< of the text at `look`, low byte first: asked before all
  std::uint32_t pattern = 0;          ///< index of the literal
  std::uint32_t size : 31 = 0;        ///< bytes of the literal
  std::uint32_t sure : 1 = 0;         ///< with those bytes and inside the text it is there
  std::int32_t start = 0;             ///< where the literal begins
  std::int32_t look = 0;              ///< -kBefore or more; at most the word's size + 1
  static constexpr std::size_t kBefore = 16;
  static constexpr std::size_t kBehind = sizeof bytes + 1;
};
static_assert(sizeof(Candidate) == 32, "no padding: kept in images");

/// Every text that holds a phrase holds its anchor: that of its words which the fewest other
/// phrases have. A word between blanks of the phrase must be a whole word of the text; the first
/// one may be the end of a longer word, the last one the beginning of one. Immutable.
class Phrases {
 public:
  /// True when a blank stands between two words of the literal.
  static bool is_phrase(std::string_view literal);

  Phrases() = default;
  /// Of those literals that are phrases; Candidate::pattern is the index in `literals`.
  explicit Phrases(const std::vector<std::string>& literals);

  /// Appends a candidate for every phrase whose anchor this word of a text is: all that are in the
  /// text around it, and some that are not. `patterns`: the literals.
  void add_candidates(std::string_view word, const Texts& patterns,
                      std::vector<Candidate>& out) const;

  /// How the anchor stands in a word of the text.
  enum class Place : std::uint32_t { whole, front, back };

  /// What it takes in RAM.
  [[nodiscard]] std::size_t bytes() const {
    return ways_.size() * sizeof ways_[0] + slots_.size() * sizeof(Slot) +
           candidates_.size() * sizeof(Candidate);
  }

  /// What an image keeps.
  template <class Self, class Walk>
  static void walk(Self& self, Walk& walk) {
    walk.list(self.ways_);
    walk.list(self.slots_);
    walk.list(self.candidates_);
  }

 private:
  /// Candidates of all anchors of one hash: another word's are harmless, the text is compared.
  struct Slot {
    std::uint32_t hash = 0, begin = 0, size = 0;
  };
  void add_slot(const Slot& slot);
  [[nodiscard]] std::uint64_t way(std::uint32_t hash) const;
  void mark_way(std::string_view anchor, Place place);
  void add_of(std::uint32_t hash, std::int32_t shift, std::string_view word, const Texts& patterns,
              std::vector<Candidate>& out) const;

  /// Two bits by the hash of every beginning of an anchor, or of every end of one that may stand at
  /// a word's back: whether it goes on, and whether it ends there. Most words are done after their
  /// first letters, and the slots are asked for little else than anchors.
  std::vector<std::uint64_t> ways_;
  std::vector<Slot> slots_;  ///< open addressing; size 0 = free
  std::vector<Candidate> candidates_;
};

}  // namespace bounced::classify
