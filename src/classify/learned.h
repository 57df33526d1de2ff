// Learned: what the words of a reply weigh for each cause.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bounced/cause.h"
#include "bounced/event.h"

namespace bounced::classify {

/// What words are weighed with. The text is normalised.
struct Reply {
  std::string_view text;
  std::uint16_t smtp_code = 0;
  EnhancedCode enhanced;
  Phase phase = Phase::none;
  EventKind kind = EventKind::bounced;
};

/// A word of a reply as it is weighed: lower case, each number one zero, without apostrophes and
/// without what logs mask or old servers leave out (whatever is not ASCII in a word that has ASCII
/// letters, and `?`): `empf?nger` and `empfänger` are one word. Zeros follow. Single
/// Latin letters are no words; those of scripts without blanks are their characters.
struct Word {
  static constexpr std::size_t kBytes = 32;  ///< the rest of a longer one does not count
  std::array<char, kBytes> bytes{};
  std::uint32_t size = 0;
  [[nodiscard]] std::string_view text() const { return {bytes.data(), size}; }
};

/// What a reply has that can weigh something.
struct Feature {
  enum class Kind : std::uint8_t { word, beginning, pair, code, code_class, enhanced, phase, kind };
  Kind kind = Kind::word;
  std::uint32_t hash = 0;   ///< the same on every machine
  std::uint32_t begin = 0;  ///< of its words in the list of words read (not of codes)
};

/// The features of a reply, those of words first. Its first kWordsMax words count; a word that
/// comes twice counts twice. What the memo takes for the same reply has the same features. Thread
/// safety: none; one per thread.
class Features {
 public:
  static constexpr std::size_t kWordsMax = 160;
  void read(const Reply& reply);
  [[nodiscard]] std::span<const Feature> list() const { return {list_.data(), size_}; }
  /// "no such", "recip...", "550", "x.1.1", "in rcpt": for people.
  [[nodiscard]] std::string name(const Feature& feature, const Reply& reply) const;

 private:
  static constexpr std::size_t kOfWord = 3, kOfReply = 5;  ///< how many, at most
  void read_words(std::string_view text);

  std::array<Word, kWordsMax + 1> words_;  ///< one more than may be kept
  std::size_t count_ = 0;
  std::array<Feature, kWordsMax * kOfWord + kOfReply> list_;
  std::size_t size_ = 0;
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
  /// By hash of feature, each once.
  explicit Learned(const std::vector<std::pair<std::uint32_t, Row>>& rows);
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
    __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]);
  }
  /// Changes with anything that a verdict depends on.
  [[nodiscard]] std::uint64_t fingerprint() const;

  /// Passes its parts to a writer or a reader of images.
  template <class Self, class Walk>
  static void walk(Self& self, Walk& walk) {
    walk.list(self.slots_);
    walk.list(self.rows_);
  }

 private:
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t row = 0;  ///< 1 + its number; 0 = empty
  };
  std::vector<Slot> slots_;  ///< open addressing
  std::vector<Row> rows_;
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
  /// The best cause, when `favoured` is given `bonus` more than its words weigh. That nothing has
  /// failed (auto-replies, our own refusals) is never found by words alone.
  /// Nor is any other cause by codes alone.
  Opinion weigh(const Reply& reply, Cause favoured, int bonus);

  struct Reason {
    std::string feature;
    int weight = 0;  ///< for the best cause, against the next best
  };
  /// Of the last weigh(): what spoke most for its opinion, strongest first.
  [[nodiscard]] std::vector<Reason> reasons(const Reply& reply, std::size_t most) const;

 private:
  using Scores = std::array<std::int16_t, Learned::kLanes>;
  std::size_t find_rows();
  void add_up(std::span<const Learned::Row* const> rows);
  void shorten();

  const Learned& learned_;
  Features features_;
  std::vector<const Learned::Row*> rows_;  ///< of the last text's features, each once
  Scores scores_{};
  std::uint16_t best_ = 0, next_ = 0;
};

}  // namespace bounced::classify
