// The two inner loops of host_patches.h for AVX2: products of 16-bit pairs instead of 32-bit ones. A weight of 22
// fractional bits is split into high * 2^11 + low, both of 16 bits, and the sums are put together again: the same
// integers, hence the same bits.
#pragma once

#include <immintrin.h>

#include <vector>

#include "patches.h"

namespace ovk {

constexpr int kLowBits = 11;

// Weights of two neighbouring taps as one 32-bit word of two 16-bit halves.
struct PairWeights {
  std::vector<int32_t> high, low;

  void fill(const int32_t* weights, int taps, int before) {
    const int pairs = (before + taps + 1) / 2;
    high.assign(pairs, 0);
    low.assign(pairs, 0);
    for (int tap = 0; tap < taps; ++tap) {
      const int at = before + tap, shift = 16 * (at & 1);
      high[at / 2] |= static_cast<int32_t>((static_cast<uint32_t>(weights[tap] >> kLowBits) & 0xffffu) << shift);
      low[at / 2] |= (weights[tap] & ((1 << kLowBits) - 1)) << shift;
    }
  }
  int count() const { return static_cast<int>(high.size()); }
};

struct PairSums {
  __m256i high[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  __m256i low[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};

  // 32 bytes: sixteen pairs.
  void add(__m128i first, __m128i second, int32_t high_weights, int32_t low_weights) {
    const __m256i h = _mm256_set1_epi32(high_weights), l = _mm256_set1_epi32(low_weights);
    const __m256i a = _mm256_cvtepu8_epi16(first), b = _mm256_cvtepu8_epi16(second);
    high[0] = _mm256_add_epi32(high[0], _mm256_madd_epi16(a, h));
    high[1] = _mm256_add_epi32(high[1], _mm256_madd_epi16(b, h));
    low[0] = _mm256_add_epi32(low[0], _mm256_madd_epi16(a, l));
    low[1] = _mm256_add_epi32(low[1], _mm256_madd_epi16(b, l));
  }
  __m256i total(int half) const { return _mm256_add_epi32(_mm256_slli_epi32(high[half], kLowBits), low[half]); }

  // The sixteen sums rounded to pixels, as `rounded` does.
  __m128i pixels() const {
    const __m256i half = _mm256_set1_epi32(1 << (kResizeBits - 1));
    const __m256i a = _mm256_srai_epi32(_mm256_add_epi32(total(0), half), kResizeBits);
    const __m256i b = _mm256_srai_epi32(_mm256_add_epi32(total(1), half), kResizeBits);
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  }
};

// 16 x 16 bytes turned; four rounds of interleaving the upper with the lower half.
inline void transpose(__m128i block[16]) {
  __m128i next[16];
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 8; ++i) {
      next[2 * i] = _mm_unpacklo_epi8(block[i], block[i + 8]);
      next[2 * i + 1] = _mm_unpackhi_epi8(block[i], block[i + 8]);
    }
    for (int i = 0; i < 16; ++i) block[i] = next[i];
  }
}

// Sixteen rows of a crop of RGB or BGR pixels as pairs: for each two pixels and channel 16 x (left, right) bytes.
// Columns beyond a multiple of sixteen are left to the caller; the first column that was not turned.
inline int turn_pairs(const uint8_t* line, int row_bytes, int width, bool swapped, uint8_t* pairs) {
  int x = 0;
  for (; x + 16 <= width; x += 16) {
    __m128i columns[48];
    for (int part = 0; part < 3; ++part) {
      for (int row = 0; row < 16; ++row)
        columns[16 * part + row] = _mm_loadu_si128(
            reinterpret_cast<const __m128i*>(line + static_cast<int64_t>(row) * row_bytes + 3 * x + 16 * part));
      transpose(columns + 16 * part);
    }
    for (int pair = 0; pair < 8; ++pair)
      for (int channel = 0; channel < 3; ++channel) {
        const int from = swapped ? 2 - channel : channel;
        const __m128i left = columns[6 * pair + from], right = columns[6 * pair + 3 + from];
        auto* to = reinterpret_cast<__m128i*>(pairs + ((x / 2 + pair) * 3 + channel) * 32);
        _mm_storeu_si128(to, _mm_unpacklo_epi8(left, right));
        _mm_storeu_si128(to + 1, _mm_unpackhi_epi8(left, right));
      }
  }
  return x;
}

}  // namespace ovk
