#include "classify/finder.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/bytes.h"

namespace bounced::classify {
namespace {

using std::size_t;

/// In front of the text and behind it: what candidates and 16-byte steps may read of it.
constexpr size_t kFront = Candidate::kBefore, kBack = 32;
static_assert(kBack >= Candidate::kBehind);
constexpr size_t kHead = 16;     ///< bytes of a word that its key holds
constexpr size_t kWordMax = 64;  ///< longer words are read anew each time
/// The table grows as words come; half full, it is forgotten at the most. 1.3 MB.
constexpr size_t kSlotsMin = 512, kSlotsMax = 32'768;
/// Of all words together; more, and they are forgotten: 4 MB and 0.5 MB.
constexpr size_t kCandidatesMax = 1u << 17, kFindsMax = 1u << 17;
/// As many words as a year of replies has are kept at once, later ones when they come again.
constexpr size_t kTrusted = 8'192, kOnce = 4'096;
constexpr size_t kCountMax = 0xffff;                            ///< of one word's lists
constexpr std::uint32_t kFirst = 1, kLast = 2, kSizeShift = 2;  ///< of Word::mark

/// The first blank at p or behind it; there is one.
const char* next_blank(const char* p) {
#ifdef __SSE2__
  for (;; p += 16) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const int bits = _mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(' ')));
    if (bits != 0) return p + std::countr_zero(static_cast<unsigned>(bits));
  }
#else
  while (*p != ' ') ++p;
  return p;
#endif
}

}  // namespace

Finder::Finder(const Databases& databases, const Phrases& phrases, const Texts& patterns)
    : databases_(databases),
      phrases_(phrases),
      patterns_(patterns),
      found_(256),
      table_(kSlotsMin),
      once_(kOnce) {
  for (const hs_database_t* database : databases.all()) {
    if (database != nullptr && hs_alloc_scratch(database, &scratch_) != HS_SUCCESS) ready_ = false;
  }
  const Secret secret = random_secret();
  std::memcpy(secret_.data(), secret.data(), sizeof secret_);
}

Finder::~Finder() {
  hs_free_scratch(scratch_);
}

std::span<const std::uint32_t> Finder::run(std::string_view text) {
  count_ = 0;
  if (!ready_ || text.empty()) return {};
  take(text);
  words();
  if (!unknown_.empty()) learn();
  if (databases_.regexes != nullptr) {
    hs_scan(databases_.regexes.get(), text.data(), static_cast<unsigned>(text.size()), 0, scratch_,
            on_regex_match, this);
  }
  return {found_.data(), count_};
}

void Finder::take(std::string_view text) {
  end_ = kFront + text.size();
  if (buffer_.size() < end_ + kBack) buffer_.resize(end_ + kBack);
  std::memcpy(buffer_.data() + kFront, text.data(), text.size());
  buffer_[end_] = ' ';  // ends the last word
}

void Finder::make_room(size_t more) {
  if (found_.size() < count_ + more) found_.resize(2 * (count_ + more));
}

void Finder::words() {
  unknown_.clear();
  const char* const base = buffer_.data();
  const char* const end = base + end_;
  for (const char* p = base + kFront; p < end;) {
    const char* const to = next_blank(p);
    if (to != p) {
      const Place place{static_cast<std::uint32_t>(p - base),
                        static_cast<std::uint32_t>(to - base)};
      const Word& word = table_[slot_of(key_of(place), place)];
      if (word.mark != 0) {
        take_known(place, word);
      } else {
        unknown_.push_back(place);
      }
    }
    p = to + 1;
  }
}

inline Finder::Word Finder::key_of(Place place) const {
  const char* const p = buffer_.data() + place.begin;
  const size_t size = place.end - place.begin;
  const FirstBytes& mask = kFirstBytes[std::min(size, kHead)];
  Word key;
  key.head = load64(p) & mask.head;
  key.tail = load64(p + 8) & mask.tail;
  key.mark = static_cast<std::uint32_t>(size << kSizeShift) | (place.begin == kFront ? kFirst : 0) |
             (place.end == end_ ? kLast : 0);
  std::uint64_t hash = fold_product(key.head ^ secret_[0] ^ key.mark, key.tail ^ secret_[1]);
  if (size > kHead && size <= kWordMax) {
    for (size_t i = kHead; i < size; i += 8) {
      hash = fold_product(hash ^ (load64(p + i) & kFirstBytes[std::min<size_t>(size - i, 8)].head),
                          secret_[1]);
    }
  }
  key.hash = static_cast<std::uint32_t>(hash);
  return key;
}

/// Where the word is, or the free slot where it would be. Words that are too long are never there.
inline size_t Finder::slot_of(const Word& key, Place place) const {
  const size_t mask = table_.size() - 1;
  const size_t size = place.end - place.begin;
  size_t at = key.hash & mask;
  for (; table_[at].mark != 0; at = (at + 1) & mask) {
    const Word& word = table_[at];
    if (word.head == key.head && word.tail == key.tail && word.mark == key.mark &&
        (size <= kHead || std::memcmp(rest_.data() + word.rest,
                                      buffer_.data() + place.begin + kHead, size - kHead) == 0)) {
      break;
    }
  }
  return at;
}

inline void Finder::take_known(Place place, const Word& word) {
  make_room(size_t{word.finds_count} + word.candidates_count);
  const std::uint32_t* const finds = finds_.data() + word.finds;
  for (size_t i = 0; i < word.finds_count; ++i) found_[count_++] = finds[i];
  compare(place, candidates_.data() + word.candidates, word.candidates_count);
}

/// Takes the candidates that are in the text around the word; there is room for them.
inline void Finder::compare(Place place, const Candidate* candidates, size_t count) {
  const char* const base = buffer_.data();
  const char* const word = base + place.begin;
  for (const Candidate* c = candidates; c != candidates + count; ++c) {
    if ((load64(word + c->look) & c->mask) != c->bytes) continue;
    const std::ptrdiff_t from = std::ptrdiff_t{place.begin} + c->start;
    if (from < static_cast<std::ptrdiff_t>(kFront) || static_cast<size_t>(from) + c->size > end_) {
      continue;
    }
    if (c->sure == 0 && !equal_bytes(base + from, patterns_[c->pattern].data(), c->size)) continue;
    found_[count_++] = c->pattern;
  }
}

int Finder::on_regex_match(unsigned id, unsigned long long, unsigned long long, unsigned,
                           void* self) {
  Finder& f = *static_cast<Finder*>(self);
  f.make_room(1);
  f.found_[f.count_++] = id;
  return 0;
}

int Finder::on_word_match(unsigned id, unsigned long long, unsigned long long to, unsigned,
                          void* self) {
  Finder& f = *static_cast<Finder*>(self);
  const std::string_view literal = f.patterns_[id];
  const size_t edge = literal.front() == ' ' ? 1 : 0;  // the word begins behind it
  const auto begin = static_cast<std::uint32_t>(f.scanned_from_ + to - literal.size() + edge);
  auto at = std::upper_bound(f.unknown_.begin(), f.unknown_.end(), begin,
                             [](std::uint32_t b, const Place& place) { return b < place.begin; });
  if (at == f.unknown_.begin()) return 0;
  --at;
  if (begin >= at->end) return 0;  // in a known word between unknown ones
  f.scanned_.push_back({static_cast<std::uint32_t>(at - f.unknown_.begin()), id});
  return 0;
}

/// One scan from the first to the last unknown word, the blanks around them with it.
void Finder::learn() {
  scanned_.clear();
  scanned_from_ = std::max<size_t>(kFront, unknown_.front().begin - size_t{1});
  const size_t to = std::min<size_t>(end_, unknown_.back().end + size_t{1});
  for (const hs_database_t* database : {databases_.known.get(), databases_.literals.get()}) {
    if (database == nullptr) continue;
    hs_scan(database, buffer_.data() + scanned_from_, static_cast<unsigned>(to - scanned_from_), 0,
            scratch_, on_word_match, this);
  }
  std::sort(scanned_.begin(), scanned_.end());
  scanned_.erase(std::unique(scanned_.begin(), scanned_.end()), scanned_.end());
  size_t begin = 0;
  for (std::uint32_t w = 0; w < unknown_.size(); ++w) {
    size_t end = begin;
    while (end < scanned_.size() && scanned_[end].word == w) ++end;
    keep(unknown_[w], scanned_.data() + begin, end - begin);
    begin = end;
  }
}

/// Takes what was found in an unknown word, and keeps it.
void Finder::keep(Place place, const Find* finds, size_t count) {
  const size_t size = place.end - place.begin;
  const char* const text = buffer_.data() + place.begin;
  around_.clear();
  phrases_.add_candidates({text, size}, patterns_, around_);
  make_room(count + around_.size());
  for (size_t i = 0; i < count; ++i) found_[count_++] = finds[i].pattern;
  compare(place, around_.data(), around_.size());
  if (size > kWordMax || count > kCountMax || around_.size() > kCountMax) return;
  Word key = key_of(place);
  if (words_ >= kTrusted) {
    // Another part of the hash than slot_of() uses: neighbours in the table are none here.
    std::uint32_t& once = once_[(key.hash >> 16) % kOnce];
    if (std::exchange(once, key.hash) != key.hash) return;
  }
  make_slots();
  const size_t slot = slot_of(key, place);
  if (table_[slot].mark != 0) return;  // it stands in this text twice
  key.rest = static_cast<std::uint32_t>(rest_.size());
  if (size > kHead) rest_.insert(rest_.end(), text + kHead, text + size);
  key.finds = static_cast<std::uint32_t>(finds_.size());
  key.finds_count = static_cast<std::uint16_t>(count);
  for (size_t i = 0; i < count; ++i) finds_.push_back(finds[i].pattern);
  key.candidates = static_cast<std::uint32_t>(candidates_.size());
  key.candidates_count = static_cast<std::uint16_t>(around_.size());
  candidates_.insert(candidates_.end(), around_.begin(), around_.end());
  table_[slot] = key;
  ++words_;
}

/// Sees to a free slot: a larger table, or an empty one.
void Finder::make_slots() {
  const bool full = words_ >= table_.size() / 2;
  if ((full && table_.size() == kSlotsMax) || finds_.size() > kFindsMax ||
      candidates_.size() > kCandidatesMax) {
    std::fill(table_.begin(), table_.end(), Word{});
    rest_.clear();
    finds_.clear();
    candidates_.clear();
    words_ = 0;
  } else if (full) {
    std::vector<Word> more(table_.size() * 2);
    for (const Word& word : table_) {
      if (word.mark == 0) continue;
      size_t at = word.hash & (more.size() - 1);
      while (more[at].mark != 0) at = (at + 1) & (more.size() - 1);
      more[at] = word;
    }
    table_ = std::move(more);
  }
}

}  // namespace bounced::classify
