// Finder: which literals and regexes a normalised text holds.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "classify/database.h"
#include "classify/phrases.h"
#include "classify/texts.h"

namespace bounced::classify {

/// Servers' words are few, so a word is only read once: Hyperscan finds the literals inside it,
/// Phrases tells which may stand around it, and both are kept. A text all of whose words are known
/// costs a lookup a word and a comparison a candidate (measured: a quarter of a scan for 11,300
/// literals). Unlike a memo of texts it makes no difference whether a text was met before.
/// Owns scratch space and at most a few MB of words. Thread safety: none; one per thread.
class Finder {
 public:
  /// All three must outlive it. `patterns`: literals, then regexes, as in the databases. A literal
  /// has no more than one blank at an edge (validate() sees to it).
  Finder(const Databases& databases, const Phrases& phrases, const Texts& patterns);
  ~Finder();
  Finder(const Finder&) = delete;
  Finder& operator=(const Finder&) = delete;

  /// Numbers of all patterns in the text; one may come more than once. Live until the next call.
  std::span<const std::uint32_t> run(std::string_view text);
  /// Whether it can scan at all; false when Hyperscan had no memory for scratch space.
  [[nodiscard]] bool ready() const { return ready_; }

 private:
  /// What is known of a word between these edges.
  struct Word {
    std::uint64_t head = 0, tail = 0;  ///< its first 16 bytes, zeros behind
    std::uint32_t mark = 0;            ///< size and edges; 0 = a free slot
    std::uint32_t hash = 0;
    std::uint32_t rest = 0;        ///< of rest_: its bytes behind the 16th
    std::uint32_t finds = 0;       ///< of finds_: literals inside it
    std::uint32_t candidates = 0;  ///< of candidates_
    std::uint16_t finds_count = 0, candidates_count = 0;
  };
  /// A word of the text at hand: offsets in buffer_.
  struct Place {
    std::uint32_t begin = 0, end = 0;
  };
  struct Find {
    std::uint32_t word = 0;  ///< index in unknown_
    std::uint32_t pattern = 0;
    [[nodiscard]] bool operator<(const Find& other) const {
      return word != other.word ? word < other.word : pattern < other.pattern;
    }
    [[nodiscard]] bool operator==(const Find& other) const {
      return word == other.word && pattern == other.pattern;
    }
  };

  void take(std::string_view text);
  void words();
  [[nodiscard]] Word key_of(Place place) const;
  [[nodiscard]] std::size_t slot_of(const Word& key, Place place) const;
  void take_known(Place place, const Word& word);
  void compare(Place place, const Candidate* candidates, std::size_t count);
  void make_room(std::size_t more);
  void learn();
  void keep(Place place, const Find* finds, std::size_t count);
  void make_slots();
  static int on_word_match(unsigned id, unsigned long long, unsigned long long to, unsigned, void*);
  static int on_regex_match(unsigned id, unsigned long long, unsigned long long, unsigned, void*);

  const Databases& databases_;
  const Phrases& phrases_;
  const Texts& patterns_;
  hs_scratch_t* scratch_ = nullptr;
  std::array<std::uint64_t, 2> secret_{};  ///< nobody outside can make words meet in one slot
  std::vector<std::uint32_t> found_;       ///< the first count_ are this text's
  std::size_t count_ = 0;

  std::vector<char> buffer_;  ///< the text between two paddings
  std::size_t end_ = 0;       ///< of the text in it
  std::vector<Word> table_;   ///< open addressing
  std::size_t words_ = 0;     ///< in the table
  /// When the table has many: hashes of words met once, which are kept when they come again.
  /// Garbage never is, and does not push out what servers say every day.
  std::vector<std::uint32_t> once_;
  std::vector<char> rest_;
  std::vector<std::uint32_t> finds_;
  std::vector<Candidate> candidates_;

  std::vector<Place> unknown_;  ///< words of this text, in its order
  std::size_t scanned_from_ = 0;
  std::vector<Find> scanned_;
  std::vector<Candidate> around_;
  bool ready_ = true;
};

}  // namespace bounced::classify
