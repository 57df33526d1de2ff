#include "classify/learned.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "base/hash.h"
#include "base/text.h"

namespace bounced::classify {
namespace {

using std::string_view;

constexpr std::size_t kBeginningBytes = 5;

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

void put(Word& word, const char* from, std::size_t size) {
  word.size = static_cast<std::uint32_t>(std::min(size, Word::kBytes));
  std::memcpy(word.bytes.data(), from, word.size);
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

std::uint64_t load(const Word& word, std::size_t at) {
  std::uint64_t bytes;
  std::memcpy(&bytes, word.bytes.data() + at, sizeof bytes);
  return bytes;
}

/// Numbers without a pattern in them: digits of pi.
constexpr std::uint64_t kSalts[] = {0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0,
                                    0x082efa98ec4e6c89, 0x452821e638d01377, 0xbe5466cf34e90c6c,
                                    0xc0ac29b7c97c50dd, 0x3f84d5b5b5470917};

std::uint64_t hash_word(const Word& word) {
  return fold_product(load(word, 0) ^ kSalts[0], load(word, 8) ^ kSalts[1]) ^
         fold_product(load(word, 16) ^ kSalts[2], load(word, 24) ^ kSalts[3]);
}

std::uint32_t hash_of(Feature::Kind kind, std::uint64_t what, std::uint64_t next = 0) {
  return static_cast<std::uint32_t>(
      fold_product(what ^ kSalts[4], next ^ kSalts[5] ^ (static_cast<std::uint64_t>(kind) << 56)));
}

}  // namespace

void Features::read_words(string_view text) {
  words_.clear();
  const char* p = text.data();
  const char* const end = p + text.size();
  const auto keep = [&](const Word& word) {
    if (word.size > 0) words_.push_back(word);
  };
  while (p < end && words_.size() < kWordsMax) {
    const char* const begin = p;
    Word word;
    if (*p == '{') {  // a placeholder
      while (p < end && *p != '}') ++p;
      put(word, begin, static_cast<std::size_t>(p - begin));
      keep(word);
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
    keep(word);
    if (alone != 0) {
      Word character;
      put(character, p, alone);
      keep(character);
      p += alone;
    } else if (p < end && *p != '{') {
      ++p;
    }
  }
}

void Features::read(const Reply& reply) {
  using Kind = Feature::Kind;
  read_words(reply.text);
  list_.clear();
  std::uint64_t before = 0;
  for (std::uint32_t i = 0; i < words_.size(); ++i) {
    const Word& word = words_[i];
    const std::uint64_t hash = hash_word(word);
    list_.push_back({Kind::word, hash_of(Kind::word, hash), i});
    if (word.size > kBeginningBytes && word.bytes[0] != '{') {
      constexpr std::uint64_t kMask = (std::uint64_t{1} << (8 * kBeginningBytes)) - 1;
      list_.push_back({Kind::beginning, hash_of(Kind::beginning, load(word, 0) & kMask), i});
    }
    if (i > 0) list_.push_back({Kind::pair, hash_of(Kind::pair, hash, before), i - 1});
    before = hash;
  }
  const auto add = [&](Kind kind, std::uint64_t what) {
    list_.push_back({kind, hash_of(kind, what), 0});
  };
  add(Kind::code, reply.smtp_code);
  add(Kind::code_class, reply.smtp_code != 0 ? reply.smtp_code / 100u : reply.enhanced.klass);
  add(Kind::enhanced, !reply.enhanced.present()
                          ? ~std::uint64_t{0}
                          : std::uint64_t{reply.enhanced.subject} << 16 | reply.enhanced.detail);
  add(Kind::phase, static_cast<std::uint64_t>(reply.phase));
  add(Kind::kind, static_cast<std::uint64_t>(reply.kind));
}

std::string Features::name(const Feature& feature, const Reply& reply) const {
  const auto word = [&](std::uint32_t i) { return std::string(words_[i].text()); };
  switch (feature.kind) {
    case Feature::Kind::word:
      return word(feature.begin);
    case Feature::Kind::beginning:
      return word(feature.begin).substr(0, kBeginningBytes) + "...";
    case Feature::Kind::pair:
      return word(feature.begin) + " " + word(feature.begin + 1);
    case Feature::Kind::code:
      return reply.smtp_code == 0 ? "no reply code" : std::to_string(reply.smtp_code);
    case Feature::Kind::code_class:
      return reply.smtp_code == 0 ? "no reply code" : std::to_string(reply.smtp_code / 100) + "xx";
    case Feature::Kind::enhanced:
      if (!reply.enhanced.present()) return "no enhanced code";
      return "x." + std::to_string(reply.enhanced.subject) + "." +
             std::to_string(reply.enhanced.detail);
    case Feature::Kind::phase:
      return "in " + std::string(to_string(reply.phase));
    case Feature::Kind::kind:
      return std::string(to_string(reply.kind));
  }
  return {};
}

Learned::Learned(const std::vector<std::pair<std::uint32_t, Row>>& rows) {
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
  return hash64(bytes(rows_), hash64(bytes(slots_)));
}

Weigher::Opinion Weigher::weigh(const Reply& reply, Cause favoured, int bonus) {
  if (learned_.empty()) return {};
  features_.read(reply);
  if (++epoch_ == 0) {
    std::fill(seen_.begin(), seen_.end(), 0);
    epoch_ = 1;
  }
  scores_ = {};
  for (const Feature& feature : features_.list()) {
    const Learned::Row* const row = learned_.find(feature.hash);
    if (row == nullptr) continue;
    std::uint32_t& seen = seen_[static_cast<std::size_t>(row - learned_.rows().data())];
    if (std::exchange(seen, epoch_) == epoch_) continue;
    for (std::size_t lane = 0; lane < Learned::kLanes; ++lane) {
      scores_[lane] = static_cast<std::int16_t>(scores_[lane] + (*row)[lane]);
    }
  }
  const auto favourite = static_cast<std::size_t>(favoured);
  if (favourite < kBuiltinCauses) {
    scores_[favourite] = static_cast<std::int16_t>(scores_[favourite] + bonus);
  }
  int best = std::numeric_limits<int>::min(), next = best;
  for (std::uint16_t cause = 1; cause < kBuiltinCauses; ++cause) {
    if (is_no_failure(Cause{cause}) && cause != favourite) continue;
    const int score = scores_[cause];
    if (score > best) {
      next = std::exchange(best, score);
      next_ = std::exchange(best_, cause);
    } else if (score > next) {
      next = score;
      next_ = cause;
    }
  }
  return {static_cast<Cause>(best_), best - next};
}

std::vector<Weigher::Reason> Weigher::reasons(const Reply& reply, std::size_t most) const {
  std::vector<Reason> reasons;
  for (const Feature& feature : features_.list()) {
    const Learned::Row* const row = learned_.find(feature.hash);
    if (row == nullptr) continue;
    const int weight = (*row)[best_] - (*row)[next_];
    Reason reason{features_.name(feature, reply), weight};
    const bool known = std::any_of(reasons.begin(), reasons.end(),
                                   [&](const Reason& r) { return r.feature == reason.feature; });
    if (weight > 0 && !known) reasons.push_back(std::move(reason));
  }
  std::stable_sort(reasons.begin(), reasons.end(),
                   [](const Reason& a, const Reason& b) { return a.weight > b.weight; });
  if (reasons.size() > most) reasons.resize(most);
  return reasons;
}

}  // namespace bounced::classify
