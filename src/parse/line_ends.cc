#include "parse/line_ends.h"

#include <algorithm>
#include <bit>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace bounced::parse {
namespace {

/// Appends the offsets of the bits. Lines are mostly longer than 64 bytes: one at once, there or
/// not, without a branch that nobody could foresee.
[[gnu::always_inline]] inline std::uint32_t* put_bits(std::uint64_t bits, std::uint32_t from,
                                                      std::uint32_t* to) {
  std::uint32_t* const end = to + std::popcount(bits);
  constexpr std::uint64_t kSome = std::uint64_t{1} << 63;  // countr_zero(0) would be a branch
  for (;; ++to) {
    *to = from + static_cast<std::uint32_t>(std::countr_zero(bits | kSome));
    bits &= bits - 1;
    if (bits == 0) return end;
  }
}

#if !defined(__SSE2__)
std::size_t find_newlines_plain(const char* text, std::uint32_t from, std::size_t blocks,
                                std::uint32_t* to) {
  std::uint32_t* const begin = to;
  for (const std::size_t end = from + 64 * blocks; from < end; ++from) {
    if (text[from] == '\n') *to++ = from;
  }
  return static_cast<std::size_t>(to - begin);
}
#else
std::size_t find_newlines_sse(const char* text, std::uint32_t from, std::size_t blocks,
                              std::uint32_t* to) {
  std::uint32_t* const begin = to;
  const __m128i newline = _mm_set1_epi8('\n');
  for (; blocks-- > 0; from += 64) {
    const auto bits = [&](unsigned i) {
      const auto* p = reinterpret_cast<const __m128i*>(text + from + i);
      const int mask = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(p), newline));
      return static_cast<std::uint64_t>(static_cast<unsigned>(mask)) << i;
    };
    to = put_bits(bits(0) | bits(16) | bits(32) | bits(48), from, to);
  }
  return static_cast<std::size_t>(to - begin);
}

/// The same, twice as wide.
__attribute__((target("avx2,bmi,popcnt"))) std::size_t find_newlines_avx2(const char* text,
                                                                          std::uint32_t from,
                                                                          std::size_t blocks,
                                                                          std::uint32_t* to) {
  std::uint32_t* const begin = to;
  const __m256i newline = _mm256_set1_epi8('\n');
  for (; blocks-- > 0; from += 64) {
    const auto* p = reinterpret_cast<const __m256i*>(text + from);
    const auto low = static_cast<unsigned>(
        _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_loadu_si256(p), newline)));
    const auto high = static_cast<unsigned>(
        _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_loadu_si256(p + 1), newline)));
    to = put_bits(std::uint64_t{high} << 32 | low, from, to);
  }
  return static_cast<std::size_t>(to - begin);
}

/// A bit a byte at once: half as many instructions.
__attribute__((target("avx512bw,bmi,popcnt"))) std::size_t find_newlines_avx512(const char* text,
                                                                                std::uint32_t from,
                                                                                std::size_t blocks,
                                                                                std::uint32_t* to) {
  std::uint32_t* const begin = to;
  const __m512i newline = _mm512_set1_epi8('\n');
  for (; blocks-- > 0; from += 64) {
    to = put_bits(_mm512_cmpeq_epi8_mask(_mm512_loadu_si512(text + from), newline), from, to);
  }
  return static_cast<std::size_t>(to - begin);
}
#endif

}  // namespace

std::span<const FindNewlines> all_find_newlines() {
  static const std::vector<FindNewlines> all = [] {
#if defined(__SSE2__)
    std::vector<FindNewlines> list{find_newlines_sse};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi")) {
      list.push_back(find_newlines_avx2);
    }
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("bmi")) {
      list.push_back(find_newlines_avx512);
    }
    return list;
#else
    return std::vector<FindNewlines>{find_newlines_plain};
#endif
  }();
  return all;
}

LineEnds::LineEnds() : find_(all_find_newlines().back()), ends_(kWindow + 4) {}

void LineEnds::start(std::string_view text) {
  text_ = text;
  read_ = at_ = found_ = 0;
}

bool LineEnds::more() {
  at_ = found_ = 0;
  while (found_ == 0 && read_ < text_.size()) {
    const std::size_t size = std::min(kWindow, text_.size() - read_);
    found_ = find_(text_.data(), static_cast<std::uint32_t>(read_), (size + 63) / 64, ends_.data());
    read_ += size;
  }
  // The padding may hold anything.
  while (found_ > 0 && ends_[found_ - 1] >= text_.size()) --found_;
  return found_ > 0;
}

}  // namespace bounced::parse
