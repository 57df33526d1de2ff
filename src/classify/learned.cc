#include "classify/learned.h"

#if defined(__SSE4_1__)
#include <smmintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "base/bytes.h"
#include "base/copy_short.h"
#include "base/hash.h"
#include "base/prefetch.h"
#include "base/text.h"
#include "base/zero.h"

namespace bounced::classify {
namespace {

using std::string_view;

/// Of a word: how many bytes of its beginning and of its end are features, where it has more; twice
/// as many in scripts whose letters have two bytes. Chosen by `bounced-judge --folds`.
constexpr std::array<std::size_t, 3> kBeginnings = {3, 5, 8};
constexpr std::size_t kEnd = 4;

/// What a byte of a normalised text is to a word.
enum Kind : std::uint8_t { kBreak = 0, kLetter = 1, kDigit = 2, kLeftOut = 4, kHigh = 8 };
constexpr std::array<std::uint8_t, 256> kKinds = [] {
  std::array<std::uint8_t, 256> kinds{};
  for (std::size_t c = 'a'; c <= 'z'; ++c) kinds[c] = kLetter;
  for (std::size_t c = '0'; c <= '9'; ++c) kinds[c] = kDigit;
  for (std::size_t c = 0x80; c < 0x100; ++c) kinds[c] = kHigh;
  kinds['?'] = kinds['\''] = kLeftOut;
  return kinds;
}();

std::uint8_t kind_of(char c) {
  return kKinds[static_cast<unsigned char>(c)];
}

/// Scripts that put no blanks between words: each character is taken for a word, so that pairs are
/// what words are elsewhere. U+0E00 (Thai, Lao), U+3000 and above. Bytes of it; 0 = none of those.
std::size_t alone_bytes(const char* p, const char* end) {
  const auto lead = static_cast<unsigned char>(*p);
  if (lead < 0xE0) return 0;
  if (lead == 0xE0) {
    if (end - p < 3 || static_cast<unsigned char>(p[1]) < 0xB8) return 0;
  } else if (lead < 0xE3) {
    return 0;
  }
  return std::min<std::size_t>(lead < 0xF0 ? 3 : 4, static_cast<std::size_t>(end - p));
}

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}

void put(Word& word, const char* from, std::size_t size) {
  word.size = static_cast<std::uint32_t>(std::min(size, Word::kBytes));
  copy_short(word.bytes.data(), from, word.size);
}

/// What is left of [begin, end), whose bytes are of `kinds` together.
void put_filtered(Word& word, const char* begin, const char* end, unsigned kinds) {
  const unsigned out = kLeftOut | ((kinds & kLetter) != 0 ? unsigned{kHigh} : 0u);
  for (const char* p = begin; p < end && word.size < Word::kBytes; ++p) {
    const std::uint8_t kind = kind_of(*p);
    if ((kind & out) != 0) continue;
    if (kind == kDigit && word.size > 0 && word.bytes[word.size - 1] == '0') continue;
    word.bytes[word.size++] = kind == kDigit ? '0' : *p;
  }
}

/// How many of 16 bytes are ASCII letters before the first that is none.
std::size_t letters(const char* p) {
#ifdef __SSE2__
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i low = _mm_add_epi8(v, _mm_set1_epi8(static_cast<char>(-128 - 'a')));
  const __m128i other = _mm_cmpgt_epi8(low, _mm_set1_epi8(-128 + 25));
  return static_cast<std::size_t>(
      std::countr_zero(static_cast<unsigned>(_mm_movemask_epi8(other)) | 0x10000u));
#else
  std::size_t n = 0;
  while (n < 16 && is_lower(p[n])) ++n;
  return n;
#endif
}

/// The first n of the 16 bytes at `from`.
void put_letters(Word& word, const char* from, std::size_t n) {
  const std::uint64_t kept[] = {load64(from) & kFirstBytes[n].head,
                                load64(from + 8) & kFirstBytes[n].tail};
  std::memcpy(word.bytes.data(), kept, sizeof kept);
  std::memset(word.bytes.data() + sizeof kept, 0, Word::kBytes - sizeof kept);
  word.size = static_cast<std::uint32_t>(n);
}

std::uint32_t hash_of(Feature::Kind kind, std::uint64_t what, std::uint64_t next = 0) {
  return static_cast<std::uint32_t>(
      fold_product(what ^ kSalts[4], next ^ kSalts[5] ^ (static_cast<std::uint64_t>(kind) << 56)));
}

}  // namespace

void Features::read_words(string_view text) {
  count_ = 0;
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end && count_ < kWordsMax) {
    const char* const begin = p;
    Word& word = words_[count_];
    // Most words are letters between breaks, and short.
    if (end - p > 16) {
      const std::size_t n = letters(p);
      if (n < 16 && kind_of(p[n]) == kBreak && (n > 0 || *p != '{')) {
        put_letters(word, p, n);
        count_ += n > 1 ? 1 : 0;
        p += p[n] == '{' ? n : n + 1;
        continue;
      }
    }
    word = Word();
    if (*p == '{') {  // a placeholder
      while (p < end && *p != '}') ++p;
      if (p < end) ++p;
      put(word, begin, static_cast<std::size_t>(p - begin));
      ++count_;
      continue;
    }
    unsigned kinds = 0;
    std::size_t alone = 0;
    while (p < end) {
      const std::uint8_t kind = kind_of(*p);
      if (kind == kBreak || (kind == kHigh && (alone = alone_bytes(p, end)) != 0)) break;
      kinds |= kind;
      ++p;
    }
    if (kinds == kLetter) {
      put(word, begin, static_cast<std::size_t>(p - begin));
    } else {
      put_filtered(word, begin, p, kinds);
    }
    if (word.size > 1 || (word.size == 1 && !is_lower(word.bytes[0]))) ++count_;
    if (alone != 0) {
      words_[count_] = Word();
      put(words_[count_++], p, alone);
      p += alone;
    } else if (p < end && *p != '{') {
      ++p;
    }
  }
  count_ = std::min(count_, kWordsMax);
}

namespace {
/// Hashes of one reply's words or pairs. Most that are new are told by a bit.
class Once {
 public:
  Once() { zero(bits_); }
  bool is_new(std::uint64_t hash) {
    std::uint64_t& bits = bits_[hash % bits_.size()];
    const std::uint64_t bit = std::uint64_t{1} << (hash / bits_.size() % 64);
    if ((bits & bit) != 0 &&
        std::find(met_.data(), met_.data() + count_, hash) != met_.data() + count_) {
      return false;
    }
    bits |= bit;
    met_[count_++] = hash;
    return true;
  }

 private:
  std::array<std::uint64_t, 16> bits_;
  std::array<std::uint64_t, Features::kWordsMax> met_;  ///< the first count_
  std::size_t count_ = 0;
};

/// 4 or 5 mostly; 0 = no code.
unsigned class_of(const Reply& reply) {
  return reply.smtp_code != 0 ? reply.smtp_code / 100u : reply.enhanced.klass;
}

/// The features of a rule: its cause with how long its literal is, and with how sure it is.
std::uint64_t length_of(const Ruled& ruled) {
  return ruled.length < 10   ? 0
         : ruled.length < 16 ? 1
         : ruled.length < 24 ? 2
         : ruled.length < 34 ? 3
                             : 4;
}
std::uint64_t sureness_of(const Ruled& ruled) {
  return ruled.confidence >= 97 ? 3 : ruled.confidence >= 95 ? 2 : ruled.confidence >= 90 ? 1 : 0;
}
}  // namespace

void Features::read_pairs() {
  Once words, pairs;
  distinct_ = pairs_ = 0;
  for (std::uint32_t i = 0; i < count_; ++i) {
    const std::uint64_t hash = hashes_[i] = hash_word(words_[i]);
    if (words.is_new(hash)) once_[distinct_++] = i;
    if (i == 0) continue;
    const std::uint32_t pair = hash_of(Feature::Kind::pair, hash, hashes_[i - 1]);
    if (pairs.is_new(pair)) list_[pairs_++] = {Feature::Kind::pair, 0, pair, i - 1};
  }
}

void Features::read(const Reply& reply) {
  using Kind = Feature::Kind;
  read_words(reply.text);
  read_pairs();
  size_ = pairs_;
  const auto add = [&](Kind kind, std::uint64_t what) {
    list_[size_++] = {kind, 0, hash_of(kind, what), 0};
  };
  add(Kind::code, reply.smtp_code);
  const std::uint64_t klass = class_of(reply);
  add(Kind::code_class, klass);
  add(Kind::enhanced, !reply.enhanced.present()
                          ? ~std::uint64_t{0}
                          : std::uint64_t{reply.enhanced.subject} << 16 | reply.enhanced.detail);
  const auto phase = static_cast<std::uint64_t>(reply.phase);
  const auto kind = static_cast<std::uint64_t>(reply.kind);
  add(Kind::phase, phase);
  add(Kind::kind, kind);
  add(Kind::phase_class, phase << 16 | klass);
  add(Kind::phase_kind, phase << 16 | kind);
  if (reply.ruled.cause == Cause::none) return;
  const std::uint64_t cause = static_cast<std::uint64_t>(reply.ruled.cause) << 16;
  add(Kind::rule, cause | length_of(reply.ruled));
  add(Kind::rule, cause | 1u << 8 | sureness_of(reply.ruled));
}

std::size_t Features::of_word(std::uint32_t i, const Concepts& concepts, OfWord& out) const {
  using Kind = Feature::Kind;
  const Word& word = words_[i];
  std::size_t n = 0;
  out[n++] = {Kind::word, 0, hash_of(Kind::word, hashes_[i]), i};
  if (word.bytes[0] == '{') return n;
  for (const std::uint8_t means : concepts.of(word)) {
    if (means != 0) out[n++] = {Kind::concept_, 0, hash_of(Kind::concept_, means), i};
  }
  const std::size_t letter = (kind_of(word.bytes[0]) & kHigh) != 0 ? 2 : 1;
  const auto part = [&](Kind kind, std::size_t from, std::size_t size) {
    const std::uint64_t hash = hash_word(word.part(from, size));
    out[n++] = {kind, static_cast<std::uint8_t>(size), hash_of(kind, hash, size), i};
  };
  for (const std::size_t beginning : kBeginnings) {
    if (word.size > beginning * letter) part(Kind::beginning, 0, beginning * letter);
  }
  if (word.size > kEnd * letter) part(Kind::end, word.size - kEnd * letter, kEnd * letter);
  return n;
}

void Features::all(const Concepts& concepts, std::vector<Feature>& out) const {
  out.clear();
  OfWord features;
  for (const std::uint32_t i : words()) {
    out.insert(out.end(), features.begin(), features.begin() + of_word(i, concepts, features));
  }
  out.insert(out.end(), list_.begin(), list_.begin() + size_);
}

std::string Features::name(const Feature& feature, const Reply& reply) const {
  const auto word = [&](std::uint32_t i) { return std::string(words_[i].text()); };
  const auto klass = [&] {
    return class_of(reply) == 0 ? "no reply code" : std::to_string(class_of(reply)) + "xx";
  };
  const auto phase = [&] {
    return reply.phase == Phase::none ? "no phase" : "in " + std::string(to_string(reply.phase));
  };
  switch (feature.kind) {
    case Feature::Kind::word:
    case Feature::Kind::concept_:
      return word(feature.begin);
    case Feature::Kind::beginning:
      return word(feature.begin).substr(0, feature.bytes) + "...";
    case Feature::Kind::end: {
      const std::string whole = word(feature.begin);
      return "..." + whole.substr(whole.size() - feature.bytes);
    }
    case Feature::Kind::pair:
      return word(feature.begin) + " " + word(feature.begin + 1);
    case Feature::Kind::code:
      return reply.smtp_code == 0 ? "no reply code" : std::to_string(reply.smtp_code);
    case Feature::Kind::code_class:
      return klass();
    case Feature::Kind::enhanced:
      if (!reply.enhanced.present()) return "no enhanced code";
      return "x." + std::to_string(reply.enhanced.subject) + "." +
             std::to_string(reply.enhanced.detail);
    case Feature::Kind::phase:
      return phase();
    case Feature::Kind::kind:
      return std::string(to_string(reply.kind));
    case Feature::Kind::phase_class:
      return klass() + " " + phase();
    case Feature::Kind::phase_kind:
      return std::string(to_string(reply.kind)) + " " + phase();
    case Feature::Kind::rule:
      return "the rule";
  }
  return {};
}

Learned::Learned(const std::vector<std::pair<std::uint32_t, Row>>& rows, Concepts concepts)
    : concepts_(std::move(concepts)) {
  slots_.resize(std::bit_ceil(rows.size() * 3 + 1));
  const std::size_t mask = slots_.size() - 1;
  for (const auto& [hash, row] : rows) {
    rows_.push_back(row);
    std::size_t i = hash & mask;
    while (slots_[i].row != 0) i = (i + 1) & mask;
    slots_[i] = {hash, static_cast<std::uint32_t>(rows_.size())};
  }
}

std::uint64_t Learned::fingerprint() const {
  const auto bytes = [](const auto& list) {
    return string_view(reinterpret_cast<const char*>(list.data()), list.size() * sizeof list[0]);
  };
  return hash64(bytes(rows_), hash64(bytes(slots_), concepts_.fingerprint()));
}

namespace {
using Lanes = std::array<std::int16_t, Learned::kLanes>;

/// Sums by lane, up to what 16 bits hold: in registers while a loop adds to them.
class Sums {
 public:
#if defined(__SSE4_1__)
  [[gnu::always_inline]] explicit Sums(const Lanes& from) {
    load(from);
  }
  [[gnu::always_inline]] void load(const Lanes& from) {
#pragma GCC unroll 6
    for (std::size_t i = 0; i < kSteps; ++i) {
      sums_[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from.data() + i * kStep));
    }
  }
  [[gnu::always_inline]] void store(Lanes& to) const {
#pragma GCC unroll 6
    for (std::size_t i = 0; i < kSteps; ++i) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to.data() + i * kStep), sums_[i]);
    }
  }
  [[gnu::always_inline]] void add(const Learned::Row& row) {
#pragma GCC unroll 6
    for (std::size_t i = 0; i < kSteps; ++i) {
      const auto* const eight = reinterpret_cast<const __m128i*>(row.data() + i * kStep);
      sums_[i] = _mm_adds_epi16(sums_[i], _mm_cvtepi8_epi16(_mm_loadl_epi64(eight)));
    }
  }
  [[gnu::always_inline]] void add(const Lanes& more) {
    const auto* const from = reinterpret_cast<const __m128i*>(more.data());
#pragma GCC unroll 6
    for (std::size_t i = 0; i < kSteps; ++i) {
      sums_[i] = _mm_adds_epi16(sums_[i], _mm_loadu_si128(from + i));
    }
  }

 private:
  static constexpr std::size_t kStep = 8, kSteps = Learned::kLanes / kStep;
  __m128i sums_[kSteps];
#else
  explicit Sums(const Lanes& from) : sums_(from) {}
  void load(const Lanes& from) {
    sums_ = from;
  }
  void store(Lanes& to) const {
    to = sums_;
  }
  template <class List>
  void add(const List& more) {
    for (std::size_t lane = 0; lane < sums_.size(); ++lane) {
      sums_[lane] =
          static_cast<std::int16_t>(std::clamp(sums_[lane] + more[lane], -32'768, 32'767));
    }
  }

 private:
  Lanes sums_;
#endif
};
}  // namespace

[[gnu::noinline]] void Weigher::meet(Known& known, std::uint32_t i) {
  known = {features_.word(i), 0, {}};
  Features::OfWord features;
  const std::size_t count = features_.of_word(i, learned_.concepts(), features);
  known.rows = static_cast<std::uint32_t>(add_rows({features.data(), count}, known.sums));
}

/// Adds what the words weigh, alone and in pairs; returns how many features that were.
std::size_t Weigher::add_words() {
  // Most of the model is not in the cache: all that is needed is on its way before any is used.
  for (const std::uint32_t i : features_.words()) {
    prefetch_lines(&known_[features_.hash_of_word(i) % kKnown], sizeof(Known));
  }
  for (const Feature& feature : features_.pairs()) learned_.prefetch(feature.hash);
  std::size_t rows = 0;
  Sums sums(scores_);
  for (const std::uint32_t i : features_.words()) {
    Known& known = known_[features_.hash_of_word(i) % kKnown];
    if (!(known.word == features_.word(i))) [[unlikely]] {
      sums.store(scores_);  // in memory only for this
      meet(known, i);
      sums.load(scores_);
    }
    rows += known.rows;
    sums.add(known.sums);
  }
  sums.store(scores_);
  return rows + add_rows(features_.pairs(), scores_);
}

/// Adds the rows of features to sums; returns how many have one.
std::size_t Weigher::add_rows(std::span<const Feature> features, Scores& to) {
  std::size_t count = 0;
  for (const Feature& feature : features) {
    const Learned::Row* const row = learned_.find(feature.hash);
    if (row == nullptr) continue;
    prefetch(row);
    rows_[count++] = row;
  }
  Sums sums(to);
  for (std::size_t i = 0; i < count; ++i) sums.add(*rows_[i]);
  sums.store(to);
  return count;
}

/// Long replies say much that decides nothing: beyond this many words each counts for less.
void Weigher::shorten() {
  constexpr int kWordsFull = 24;
  const int count = static_cast<int>(features_.words().size());
  if (count <= kWordsFull) return;
  for (std::int16_t& score : scores_) {
    score = static_cast<std::int16_t>(score * kWordsFull / count);
  }
}

namespace {
constexpr int kLeast = std::numeric_limits<int>::min();

/// The first lane of the highest score: the loop for that has no branch, so vectors do it.
std::uint16_t strongest(const std::array<int, Learned::kLanes>& scores) {
  int most = scores[0];
  for (const int score : scores) most = std::max(most, score);
  return static_cast<std::uint16_t>(std::find(scores.begin(), scores.end(), most) - scores.begin());
}
}  // namespace

Weigher::Opinion Weigher::weigh(const Reply& reply, Cause favoured, int bonus) {
  if (learned_.empty()) return {};
  if (known_.empty()) known_.resize(kKnown);
  features_.read(reply);
  scores_ = {};
  const std::size_t of_words = add_words();
  const Scores spoken = scores_;
  add_rows(features_.codes(), scores_);
  shorten();
  add_rows(features_.rules(), scores_);
  const auto favourite = static_cast<std::size_t>(favoured);
  Wide& scores = others_;
  for (std::size_t lane = 0; lane < scores.size(); ++lane) scores[lane] = scores_[lane];
  if (favourite < kBuiltinCauses) scores[favourite] += bonus;
  scores[0] = kLeast;  // no cause
  std::fill(scores.begin() + kBuiltinCauses, scores.end(), kLeast);
  best_ = strongest(scores);
  best_score_ = std::exchange(scores[best_], kLeast);
  next_ = strongest(scores);
  const int next = scores[next_];
  const bool better = best_ != favourite;
  if (better && (of_words == 0 || is_no_failure(Cause{best_}))) return {};
  const int by_words = better && favourite < kBuiltinCauses ? spoken[best_] - spoken[favourite] : 0;
  return {static_cast<Cause>(best_), best_score_ - next, by_words};
}

int Weigher::over_others(Causes causes) const {
  int most = kLeast;
  for (std::size_t lane = 1; lane < kBuiltinCauses; ++lane) {
    if ((causes >> lane & 1) == 0) most = std::max(most, others_[lane]);
  }
  return most == kLeast ? 0 : best_score_ - most;
}

std::vector<Weigher::Reason> Weigher::reasons(const Reply& reply, std::size_t most) const {
  std::vector<Reason> reasons;
  std::vector<Feature> features;
  features_.all(learned_.concepts(), features);
  for (const Feature& feature : features) {
    const Learned::Row* const row = learned_.find(feature.hash);
    if (row == nullptr) continue;
    // What a word's beginning and end weigh is the word's weight, too: nobody reads "abo...".
    Feature whole = feature;
    if (feature.kind == Feature::Kind::beginning || feature.kind == Feature::Kind::end) {
      whole.kind = Feature::Kind::word;
    }
    const std::string name = features_.name(whole, reply);
    auto reason = std::find_if(reasons.begin(), reasons.end(),
                               [&](const Reason& r) { return r.feature == name; });
    if (reason == reasons.end()) reason = reasons.insert(reason, {name, 0});
    reason->weight += (*row)[best_] - (*row)[next_];
  }
  std::erase_if(reasons, [](const Reason& r) { return r.weight <= 0; });
  std::stable_sort(reasons.begin(), reasons.end(),
                   [](const Reason& x, const Reason& y) { return x.weight > y.weight; });
  if (reasons.size() > most) reasons.resize(most);
  return reasons;
}

}  // namespace bounced::classify
