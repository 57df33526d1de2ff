// Learned: what the words of a reply weigh for each cause.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/prefetch.h"
#include "bounced/cause.h"
#include "bounced/event.h"
#include "classify/concepts.h"
#include "classify/word.h"

namespace bounced::classify {

/// What the rules say of a reply.
struct Ruled {
  Cause cause = Cause::none;    ///< none: no rule holds
  std::uint8_t confidence = 0;  ///< percent
  std::uint32_t length = 0;     ///< bytes of the longest literal found; 0 = by its predicates alone
};

/// What words are weighed with. The text is normalised.
struct Reply {
  std::string_view text;
  std::uint16_t smtp_code = 0;
  EnhancedCode enhanced;
  Phase phase = Phase::none;
  EventKind kind = EventKind::bounced;
  Ruled ruled;
};

/// What a reply has that can weigh something.
struct Feature {
  enum class Kind : std::uint8_t {
    word,
    concept_,   ///< what the word means (Concepts)
    beginning,  ///< of a word: some bytes
    end,        ///< likewise
    pair,
    code,
    code_class,
    enhanced,
    phase,
    kind,
    phase_class,  ///< both together: a 5xx to MAIL FROM is another thing than one to RCPT TO
    phase_kind,   ///< likewise
    rule,
  };
  Kind kind = Kind::word;
  std::uint8_t bytes = 0;   ///< of a beginning or an end
  std::uint32_t hash = 0;   ///< the same on every machine
  std::uint32_t begin = 0;  ///< of its words in the list of words read (not of codes)
  [[nodiscard]] bool of_words() const { return kind <= Kind::pair; }
};

/// The features of a reply. Its first kWordsMax words count, each once, and so does each pair; two
/// words that begin alike count twice there. What the memo takes for the same reply has the same
/// features. Thread safety: none; one per thread.
class Features {
 public:
  static constexpr std::size_t kWordsMax = 160;
  void read(const Reply& reply);

  /// The reply's words, each once: indices for word(), hash_of_word().
  [[nodiscard]] std::span<const std::uint32_t> words() const { return {once_.data(), distinct_}; }
  [[nodiscard]] const Word& word(std::uint32_t i) const { return words_[i]; }
  [[nodiscard]] std::uint64_t hash_of_word(std::uint32_t i) const { return hashes_[i]; }
  /// What the i-th word has alone: its features depend on nothing but the word.
  static constexpr std::size_t kOfWord = 7;
  using OfWord = std::array<Feature, kOfWord>;
  std::size_t of_word(std::uint32_t i, const Concepts& concepts, OfWord& out) const;
  /// Pairs of words, then what is not of words, then what is of a rule.
  [[nodiscard]] std::span<const Feature> pairs() const { return {list_.data(), pairs_}; }
  [[nodiscard]] std::span<const Feature> codes() const { return {list_.data() + pairs_, kCodes}; }
  [[nodiscard]] std::span<const Feature> rules() const {
    return {list_.data() + pairs_ + kCodes, size_ - pairs_ - kCodes};
  }
  /// All of these.
  void all(const Concepts& concepts, std::vector<Feature>& out) const;
  /// "no such", "recip...", "550", "x.1.1", "in rcpt": for people.
  [[nodiscard]] std::string name(const Feature& feature, const Reply& reply) const;

 private:
  static constexpr std::size_t kCodes = 7, kRules = 2;
  void read_words(std::string_view text);
  void read_pairs();

  std::array<Word, kWordsMax + 1> words_;  ///< one more than may be kept
  std::array<std::uint64_t, kWordsMax> hashes_{};
  std::array<std::uint32_t, kWordsMax> once_{};
  std::size_t count_ = 0, distinct_ = 0;
  std::array<Feature, kWordsMax + kCodes + kRules> list_;
  std::size_t pairs_ = 0, size_ = 0;
};

/// A linear model: a cause's score is the sum of what the features weigh for it, in sixteenths of a
/// natural logarithm. Integers only, so that every build judges alike. Immutable.
class Learned {
 public:
  /// One byte for each built-in cause by its number; the rest is 0.
  static constexpr std::size_t kLanes = 48;
  static_assert(kBuiltinCauses <= kLanes);
  using Row = std::array<std::int8_t, kLanes>;

  Learned() = default;
  /// By hash of feature, each once; and what the words were taken for.
  Learned(const std::vector<std::pair<std::uint32_t, Row>>& rows, Concepts concepts);
  [[nodiscard]] const Concepts& concepts() const { return concepts_; }
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  /// The row of a feature; nullptr when it weighs nothing.
  [[nodiscard]] const Row* find(std::uint32_t hash) const {
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t i = hash & mask; slots_[i].row != 0; i = (i + 1) & mask) {
      if (slots_[i].hash == hash) return &rows_[slots_[i].row - 1];
    }
    return nullptr;
  }
  void prefetch(std::uint32_t hash) const {
    bounced::prefetch(&slots_[hash & (slots_.size() - 1)]);
  }
  /// Changes with anything that a verdict depends on.
  [[nodiscard]] std::uint64_t fingerprint() const;

  /// Passes its parts to a writer or a reader of images.
  template <class Self, class Walk>
  static void walk(Self& self, Walk& walk) {
    walk.list(self.slots_);
    walk.list(self.rows_);
    Concepts::walk(self.concepts_, walk);
  }

 private:
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t row = 0;  ///< 1 + its number; 0 = empty
  };
  std::vector<Slot> slots_;  ///< open addressing
  std::vector<Row> rows_;
  Concepts concepts_;
};

/// Weighs replies. Keeps a reference to the model. Thread safety: none; one per thread.
class Weigher {
 public:
  explicit Weigher(const Learned& learned) : learned_(learned) {}

  struct Opinion {
    Cause cause = Cause::none;  ///< none: nothing was learned
    int margin = 0;             ///< over the next best one, in sixteenths
    int by_words = 0;           ///< over the favoured one, without bonus and codes
  };
  /// The best cause, when `favoured` is given `bonus` more than its features weigh. That nothing
  /// has failed (auto-replies, our own refusals) is never found by words alone.
  /// Nor is any other cause by codes alone.
  Opinion weigh(const Reply& reply, Cause favoured, int bonus);
  /// A bit for each built-in cause, by its number.
  using Causes = std::uint64_t;
  static_assert(kBuiltinCauses <= 64);
  /// Of the last weigh(): what its cause has over the best one that is not among `causes`.
  [[nodiscard]] int over_others(Causes causes) const;

  struct Reason {
    std::string feature;
    int weight = 0;  ///< for the best cause, against the next best
  };
  /// Of the last weigh(): what spoke most for its opinion, strongest first.
  [[nodiscard]] std::vector<Reason> reasons(const Reply& reply, std::size_t most) const;

 private:
  using Scores = std::array<std::int16_t, Learned::kLanes>;
  using Wide = std::array<int, Learned::kLanes>;
  /// A word that was met, and the sums of what it weighs alone.
  struct alignas(16) Known {
    Word word;
    std::uint32_t rows = 0;  ///< how many of its features weigh anything
    alignas(16) Scores sums{};
  };
  void meet(Known& known, std::uint32_t word);
  std::size_t add_words();
  std::size_t add_rows(std::span<const Feature> features, Scores& to);
  void shorten();

  const Learned& learned_;
  Features features_;
  /// By hash, the last one met: servers' words are few. 300 KB.
  static constexpr std::size_t kKnown = 2'048;
  std::vector<Known> known_;
  std::array<const Learned::Row*, Features::kWordsMax> rows_;  ///< scratch
  Scores scores_{};
  Wide others_{};  ///< with the bonus, the best one left out
  int best_score_ = 0;
  std::uint16_t best_ = 0, next_ = 0;
};

}  // namespace bounced::classify
