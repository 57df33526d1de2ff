#include "classify/lower.h"

#include <vector>

#ifdef __SSE4_1__
#include <immintrin.h>
#endif

namespace bounced::classify {
namespace {

void lower_blocks_plain(const char* from, char* to, std::size_t first, std::size_t end,
                        Scan& scan) {
  for (std::size_t block = first; block < end; ++block, from += 64) {
    std::uint64_t blank = 0, event = 0;
    for (unsigned i = 0; i < 64; ++i) {
      const auto c = static_cast<unsigned char>(from[i]);
      const std::uint64_t bit = std::uint64_t{1} << i;
      const bool control = c <= 0x20 || c == 0x7f;
      if (control) blank |= bit;
      if ((c >= '0' && c <= '9') || c == '@' || c == '=') event |= bit;
      scan.foreign |= c >= 0x80 || c == '\\' ? 1 : 0;
      scan.at |= c == '@' ? 1 : 0;
      scan.hash |= c == '#' ? 1 : 0;
      to[block * 64 + i] = static_cast<char>(control ? ' ' : c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    scan.blank[block] = blank;
    scan.event[block] = event;
  }
}

#ifdef __SSE4_1__
void lower_blocks_sse(const char* from, char* to, std::size_t first, std::size_t end, Scan& scan) {
  const __m128i space = _mm_set1_epi8(' ');
  __m128i ats = _mm_setzero_si128(), hashes = ats, foreign = ats;
  for (std::size_t block = first; block < end; ++block, from += 64) {
    std::uint64_t blank = 0, event = 0;
    for (unsigned i = 0; i < 64; i += 16) {
      const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
      const __m128i from_a = _mm_sub_epi8(v, _mm_set1_epi8('A'));
      const __m128i upper = _mm_cmpeq_epi8(_mm_min_epu8(from_a, _mm_set1_epi8(25)), from_a);
      const __m128i control = _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(v, space), v),
                                           _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
      const __m128i from_0 = _mm_sub_epi8(v, _mm_set1_epi8('0'));
      const __m128i digit = _mm_cmpeq_epi8(_mm_min_epu8(from_0, _mm_set1_epi8(9)), from_0);
      const __m128i at = _mm_cmpeq_epi8(v, _mm_set1_epi8('@'));
      const __m128i sign = _mm_or_si128(at, _mm_cmpeq_epi8(v, _mm_set1_epi8('=')));
      ats = _mm_or_si128(ats, at);
      hashes = _mm_or_si128(hashes, _mm_cmpeq_epi8(v, _mm_set1_epi8('#')));
      foreign = _mm_or_si128(foreign, _mm_or_si128(v, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
      const __m128i lower = _mm_or_si128(v, _mm_and_si128(upper, space));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + block * 64 + i),
                       _mm_blendv_epi8(lower, space, control));
      const auto bits = [i](__m128i m) {
        return static_cast<std::uint64_t>(static_cast<unsigned>(_mm_movemask_epi8(m))) << i;
      };
      blank |= bits(control);
      event |= bits(_mm_or_si128(digit, sign));
    }
    scan.blank[block] = blank;
    scan.event[block] = event;
  }
  scan.foreign |= static_cast<unsigned>(_mm_movemask_epi8(foreign));
  scan.at |= static_cast<unsigned>(_mm_movemask_epi8(ats));
  scan.hash |= static_cast<unsigned>(_mm_movemask_epi8(hashes));
}

/// The same, twice as wide.
__attribute__((target("avx2"))) void lower_blocks_avx2(const char* from, char* to,
                                                       std::size_t first, std::size_t end,
                                                       Scan& scan) {
  const __m256i space = _mm256_set1_epi8(' ');
  __m256i ats = _mm256_setzero_si256(), hashes = ats, foreign = ats;
  for (std::size_t block = first; block < end; ++block, from += 64) {
    std::uint64_t blank = 0, event = 0;
    for (unsigned i = 0; i < 64; i += 32) {
      const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i));
      const __m256i from_a = _mm256_sub_epi8(v, _mm256_set1_epi8('A'));
      const __m256i upper =
          _mm256_cmpeq_epi8(_mm256_min_epu8(from_a, _mm256_set1_epi8(25)), from_a);
      const __m256i control = _mm256_or_si256(_mm256_cmpeq_epi8(_mm256_min_epu8(v, space), v),
                                              _mm256_cmpeq_epi8(v, _mm256_set1_epi8(0x7f)));
      const __m256i from_0 = _mm256_sub_epi8(v, _mm256_set1_epi8('0'));
      const __m256i digit = _mm256_cmpeq_epi8(_mm256_min_epu8(from_0, _mm256_set1_epi8(9)), from_0);
      const __m256i at = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('@'));
      const __m256i sign = _mm256_or_si256(at, _mm256_cmpeq_epi8(v, _mm256_set1_epi8('=')));
      ats = _mm256_or_si256(ats, at);
      hashes = _mm256_or_si256(hashes, _mm256_cmpeq_epi8(v, _mm256_set1_epi8('#')));
      foreign = _mm256_or_si256(foreign,
                                _mm256_or_si256(v, _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\'))));
      const __m256i lower = _mm256_or_si256(v, _mm256_and_si256(upper, space));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + block * 64 + i),
                          _mm256_blendv_epi8(lower, space, control));
      blank |= static_cast<std::uint64_t>(static_cast<unsigned>(_mm256_movemask_epi8(control)))
               << i;
      event |= static_cast<std::uint64_t>(
                   static_cast<unsigned>(_mm256_movemask_epi8(_mm256_or_si256(digit, sign))))
               << i;
    }
    scan.blank[block] = blank;
    scan.event[block] = event;
  }
  scan.foreign |= static_cast<unsigned>(_mm256_movemask_epi8(foreign));
  scan.at |= static_cast<unsigned>(_mm256_movemask_epi8(ats));
  scan.hash |= static_cast<unsigned>(_mm256_movemask_epi8(hashes));
}
#endif

}  // namespace

std::span<const LowerBlocks> all_lower_blocks() {
  static const std::vector<LowerBlocks> all = [] {
    std::vector<LowerBlocks> list{lower_blocks_plain};
#ifdef __SSE4_1__
    list.push_back(lower_blocks_sse);
    if (__builtin_cpu_supports("avx2")) list.push_back(lower_blocks_avx2);
#endif
    return list;
  }();
  return all;
}

LowerBlocks best_lower_blocks() {
  return all_lower_blocks().back();
}

}  // namespace bounced::classify
