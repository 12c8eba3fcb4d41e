// Kernel 0 on the host, arranged for vector units: the same integers as the block program in another order, so the same
// bits (tests/kernels compare them). Rows of a picture are taken sixteen at a time, and sums run over the rows.
#pragma once

#include <vector>

#include "patches.h"
#ifdef __AVX2__
#include "host_patches_avx2.h"
#endif

namespace ovk {

constexpr int kStrip = 16;
constexpr int kBeyond = 16;  // elements that a vector may read and write past the end

#ifdef __AVX2__

struct HostScratch {
  std::vector<uint8_t> pairs;         // ((crop width + 1) / 2, 3, kStrip, 2)
  std::vector<PairWeights> weights;   // (out width)
  PairWeights down;
  std::vector<uint8_t> lines;         // (crop height, out width * 3)
  std::vector<int32_t> sums;          // (out width * 3)
};

inline void prepare(const PatchJob& job, HostScratch& scratch) {
  scratch.pairs.assign(static_cast<size_t>(job.crop_width / 2 + 1) * 3 * kStrip * 2, 0);
  scratch.weights.resize(job.out_width);
  for (int x = 0; x < job.out_width; ++x)
    scratch.weights[x].fill(job.across.coefficients + static_cast<int64_t>(x) * job.across.taps,
                            job.across.bounds[2 * x + 1], job.across.bounds[2 * x] & 1);
}

// A strip of the crop, turned so that the rows of one pair of columns and channel follow each other.
inline void turn_strip(const PatchJob& job, const uint8_t* picture, int top, int rows, HostScratch& scratch) {
  uint8_t* pairs = scratch.pairs.data();
  int turned = 0;
  if (job.map == nullptr && (job.format == kRgb || job.format == kBgr) && rows == kStrip) {
    const uint8_t* line = picture + static_cast<int64_t>(job.crop_top + top) * job.row_bytes + 3 * job.crop_left;
    turned = turn_pairs(line, job.row_bytes, job.crop_width, job.format == kBgr, pairs);
  }
  for (int row = 0; row < rows; ++row)
    for (int x = turned; x < job.crop_width; ++x) {
      const Rgb pixel = crop_pixel(job, picture, x, top + row);
      for (int channel = 0; channel < 3; ++channel)
        pairs[((x / 2 * 3 + channel) * kStrip + row) * 2 + (x & 1)] = static_cast<uint8_t>(pixel.of[channel]);
    }
}

inline void resize_across(const PatchJob& job, const HostScratch& scratch, int rows, uint8_t* lines) {
  const int row_bytes = job.out_width * 3;
  for (int x = 0; x < job.out_width; ++x) {
    const PairWeights& weights = scratch.weights[x];
    for (int channel = 0; channel < 3; ++channel) {
      const uint8_t* pair = scratch.pairs.data() + (job.across.bounds[2 * x] / 2 * 3 + channel) * kStrip * 2;
      PairSums sums;
      for (int i = 0; i < weights.count(); ++i, pair += 3 * kStrip * 2) {
        const auto* at = reinterpret_cast<const __m128i*>(pair);
        sums.add(_mm_loadu_si128(at), _mm_loadu_si128(at + 1), weights.high[i], weights.low[i]);
      }
      alignas(16) uint8_t pixels[kStrip];
      _mm_store_si128(reinterpret_cast<__m128i*>(pixels), sums.pixels());
      for (int row = 0; row < rows; ++row) lines[row * row_bytes + 3 * x + channel] = pixels[row];
    }
  }
}

inline void resize_down(const PatchJob& job, int y, HostScratch& scratch) {
  const int row_bytes = job.out_width * 3, first = job.down.bounds[2 * y], taps = job.down.bounds[2 * y + 1];
  scratch.down.fill(job.down.coefficients + static_cast<int64_t>(y) * job.down.taps, taps, 0);
  const uint8_t* lines = scratch.lines.data() + static_cast<int64_t>(first) * row_bytes;
  for (int i = 0; i < row_bytes; i += 16) {
    PairSums sums;
    for (int pair = 0; pair < scratch.down.count(); ++pair) {
      const uint8_t* upper = lines + static_cast<int64_t>(2 * pair) * row_bytes + i;
      // The partner of an odd last line has weight 0.
      const uint8_t* lower = 2 * pair + 1 < taps ? upper + row_bytes : upper;
      const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(upper));
      const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(lower));
      sums.add(_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b), scratch.down.high[pair], scratch.down.low[pair]);
    }
    auto* to = reinterpret_cast<__m256i*>(scratch.sums.data() + i);
    _mm256_storeu_si256(to, sums.total(0));
    _mm256_storeu_si256(to + 1, sums.total(1));
  }
}

#else

struct HostScratch {
  std::vector<int16_t> columns;  // (crop width, 3, kStrip)
  std::vector<uint8_t> lines;    // (crop height, out width * 3)
  std::vector<int32_t> sums;     // (out width * 3)
};

inline void prepare(const PatchJob& job, HostScratch& scratch) {
  scratch.columns.resize(static_cast<size_t>(job.crop_width) * 3 * kStrip);
}

// A strip of the crop, turned so that the rows of one column and channel follow each other.
inline void turn_strip(const PatchJob& job, const uint8_t* picture, int top, int rows, HostScratch& scratch) {
  int16_t* columns = scratch.columns.data();
  const bool plain = job.map == nullptr && (job.format == kRgb || job.format == kBgr);
  const int red = job.format == kBgr ? 2 : 0;
  for (int row = 0; row < rows; ++row) {
    if (plain) {
      const uint8_t* line =
          picture + static_cast<int64_t>(job.crop_top + top + row) * job.row_bytes + 3 * job.crop_left;
      for (int x = 0; x < job.crop_width; ++x) {
        int16_t* column = columns + (3 * x) * kStrip + row;
        column[0] = line[3 * x + red];
        column[kStrip] = line[3 * x + 1];
        column[2 * kStrip] = line[3 * x + 2 - red];
      }
    } else {
      for (int x = 0; x < job.crop_width; ++x) {
        const Rgb pixel = crop_pixel(job, picture, x, top + row);
        for (int channel = 0; channel < 3; ++channel)
          columns[(3 * x + channel) * kStrip + row] = static_cast<int16_t>(pixel.of[channel]);
      }
    }
  }
}

inline void resize_across(const PatchJob& job, const HostScratch& scratch, int rows, uint8_t* lines) {
  const int16_t* columns = scratch.columns.data();
  const int row_bytes = job.out_width * 3;
  for (int x = 0; x < job.out_width; ++x) {
    const int first = job.across.bounds[2 * x], taps = job.across.bounds[2 * x + 1];
    const int32_t* weights = job.across.coefficients + static_cast<int64_t>(x) * job.across.taps;
    for (int channel = 0; channel < 3; ++channel) {
      int32_t sums[kStrip] = {};
      const int16_t* column = columns + (3 * first + channel) * kStrip;
      for (int tap = 0; tap < taps; ++tap, column += 3 * kStrip) {
        const int32_t weight = weights[tap];
        for (int row = 0; row < kStrip; ++row) sums[row] += weight * column[row];
      }
      for (int row = 0; row < rows; ++row) lines[row * row_bytes + 3 * x + channel] = rounded(sums[row]);
    }
  }
}

inline void resize_down(const PatchJob& job, int y, HostScratch& scratch) {
  const uint8_t* lines = scratch.lines.data();
  int32_t* sums = scratch.sums.data();
  const int row_bytes = job.out_width * 3, first = job.down.bounds[2 * y], taps = job.down.bounds[2 * y + 1];
  const int32_t* weights = job.down.coefficients + static_cast<int64_t>(y) * job.down.taps;
  for (int i = 0; i < row_bytes; ++i) sums[i] = 0;
  for (int tap = 0; tap < taps; ++tap) {
    const uint8_t* line = lines + static_cast<int64_t>(first + tap) * row_bytes;
    const int32_t weight = weights[tap];
    for (int i = 0; i < row_bytes; ++i) sums[i] += weight * line[i];
  }
}

#endif

// One row of a frame into its patches; Element is float or the bits of a half.
template <typename Element>
inline void scatter_row(const PatchJob& job, int y, int frame, bool both, const int32_t* sums, const Element* table,
                        Element* out) {
  const int blocks_across = job.out_width / (kPatch * kMerge), grid_y = y / kPatch;
  for (int grid_x = 0; grid_x < job.out_width / kPatch; ++grid_x) {
    const int patch = ((grid_y / kMerge) * blocks_across + grid_x / kMerge) * kMerge * kMerge +
                      (grid_y % kMerge) * kMerge + grid_x % kMerge;
    Element* row = out + static_cast<int64_t>(job.first_row + patch) * (3 * 2 * kPatch * kPatch) + (y % kPatch) * kPatch;
    for (int channel = 0; channel < 3; ++channel) {
      Element* to = row + (channel * 2 + frame) * kPatch * kPatch;
      for (int x = 0; x < kPatch; ++x)
        to[x] = table[channel * 256 + rounded(sums[3 * (grid_x * kPatch + x) + channel])];
      if (both)
        for (int x = 0; x < kPatch; ++x) to[kPatch * kPatch + x] = to[x];
    }
  }
}

template <typename Element>
inline void host_patches(const PatchJob& job, const Element* table, Element* out, HostScratch& scratch) {
  const int row_bytes = job.out_width * 3;
  prepare(job, scratch);
  scratch.lines.resize(static_cast<size_t>(job.crop_height) * row_bytes + kBeyond);
  scratch.sums.resize(row_bytes + kBeyond);
  const bool single = job.older == job.newer;
  for (int frame = 0; frame < (single ? 1 : 2); ++frame) {
    const uint8_t* picture = frame == 0 ? job.older : job.newer;
    for (int top = 0; top < job.crop_height; top += kStrip) {
      const int rows = job.crop_height - top < kStrip ? job.crop_height - top : kStrip;
      turn_strip(job, picture, top, rows, scratch);
      resize_across(job, scratch, rows, scratch.lines.data() + static_cast<int64_t>(top) * row_bytes);
    }
    for (int y = 0; y < job.out_height; ++y) {
      resize_down(job, y, scratch);
      scatter_row(job, y, frame, single, scratch.sums.data(), table, out);
    }
  }
}

}  // namespace ovk
