// Kernel 0: camera pictures to the patches of a Qwen2.5-VL vision tower. One block per patch (both frames of the pair).
//
// Crop, optional undistortion, Pillow's bicubic resize in integers, normalisation by table, patch order; equal at uint8
// precision to transformers' Qwen2VLImageProcessorPil. Resize tables and undistortion maps are made once per camera
// (kernels/resize_tables.py), so nothing here depends on a compiler's double arithmetic.
#pragma once

#include "exact_math.h"
#include "reductions.h"

namespace ovk {

constexpr int kPatch = 14;
constexpr int kMerge = 2;
constexpr int kMaxRows = 400;  // source rows behind one patch: a scale of 26 with bicubic support
constexpr int kResizeBits = 22;  // Pillow: PRECISION_BITS = 32 - 8 - 2

enum PictureFormat : int32_t { kRgb = 0, kBgr = 1, kNv12 = 2, kUyvy = 3, kYuyv = 4 };

// Bounds are (outputs, 2) first source pixel and count; coefficients (outputs, taps), 22 fractional bits.
struct ResizeTable {
  const int32_t* bounds;
  const int32_t* coefficients;
  int32_t taps;
  int32_t unused;
};

struct PatchJob {
  const uint8_t* older;  // the same as newer for a single picture, which then fills both frames
  const uint8_t* newer;
  const int32_t* map;    // (crop height, crop width, 2) source x and y, 5 fractional bits; null: no undistortion
  ResizeTable across, down;
  int32_t width, height, row_bytes, format;
  int32_t crop_left, crop_top, crop_width, crop_height;
  int32_t out_width, out_height;
  int32_t first_row;     // of the output
  int32_t first_block;   // of the launch: blocks of a job follow each other
};

struct PatchArguments {
  const PatchJob* jobs;
  const float* table;    // (3, 256) normalised value of each pixel value
  void* out;             // (rows, 3 * 2 * 14 * 14) halves or floats
  int32_t jobs_count, blocks, is_half, unused;
};

struct PatchShared {
  uint8_t lines[kMaxRows][kPatch][3];
};

struct Rgb {
  int32_t of[3];
};

// ITU-R BT.601, studio swing, in the fixed point of OpenCV's cvtColor (20 bits).
OVK_INLINE Rgb rgb_of_yuv(int32_t y, int32_t u, int32_t v) {
  const int32_t luma = (y > 16 ? y - 16 : 0) * 1220542, half = 1 << 19;
  u -= 128;
  v -= 128;
  return {{clamped((luma + half + 1673527 * v) >> 20, 0, 255),
           clamped((luma + half - 852492 * v - 409993 * u) >> 20, 0, 255),
           clamped((luma + half + 2116026 * u) >> 20, 0, 255)}};
}

OVK_INLINE Rgb source_pixel(const PatchJob& job, const uint8_t* picture, int32_t x, int32_t y) {
  const uint8_t* line = picture + static_cast<int64_t>(y) * job.row_bytes;
  if (job.format == kRgb) return {{line[3 * x], line[3 * x + 1], line[3 * x + 2]}};
  if (job.format == kBgr) return {{line[3 * x + 2], line[3 * x + 1], line[3 * x]}};
  if (job.format == kNv12) {
    const uint8_t* chroma = picture + static_cast<int64_t>(job.height + y / 2) * job.row_bytes + (x & ~1);
    return rgb_of_yuv(line[x], chroma[0], chroma[1]);
  }
  const uint8_t* pair = line + 4 * (x / 2);
  if (job.format == kUyvy) return rgb_of_yuv(pair[1 + 2 * (x & 1)], pair[0], pair[2]);
  return rgb_of_yuv(pair[2 * (x & 1)], pair[1], pair[3]);
}

// A pixel of the crop; through an undistortion map bilinear in 5 fractional bits, black outside the picture.
OVK_INLINE Rgb crop_pixel(const PatchJob& job, const uint8_t* picture, int32_t x, int32_t y) {
  if (job.map == nullptr) return source_pixel(job, picture, job.crop_left + x, job.crop_top + y);
  const int32_t* at = job.map + 2 * (static_cast<int64_t>(y) * job.crop_width + x);
  const int32_t left = at[0] >> 5, top = at[1] >> 5, right_part = at[0] & 31, low_part = at[1] & 31;
  Rgb sum = {{512, 512, 512}};
  for (int corner = 0; corner < 4; ++corner) {
    const int32_t cx = left + (corner & 1), cy = top + (corner >> 1);
    if (cx < 0 || cy < 0 || cx >= job.width || cy >= job.height) continue;
    const int32_t weight = ((corner & 1) ? right_part : 32 - right_part) * ((corner >> 1) ? low_part : 32 - low_part);
    if (weight == 0) continue;
    const Rgb pixel = source_pixel(job, picture, cx, cy);
    for (int channel = 0; channel < 3; ++channel) sum.of[channel] += weight * pixel.of[channel];
  }
  for (int channel = 0; channel < 3; ++channel) sum.of[channel] >>= 10;
  return sum;
}

OVK_INLINE uint8_t rounded(int32_t sum) {
  return static_cast<uint8_t>(clamped((sum + (1 << (kResizeBits - 1))) >> kResizeBits, 0, 255));
}

OVK_INLINE void store(const PatchArguments& a, int64_t element, float value) {
  if (a.is_half) {
    static_cast<uint16_t*>(a.out)[element] = half_of_float(value);
  } else {
    static_cast<float*>(a.out)[element] = value;
  }
}

template <int kThreads>
struct Patches {
  using B = Block<kThreads>;

  static OVK_INLINE void run(B& block, const PatchArguments& a, PatchShared& shared) {
    int which = 0;
    while (which + 1 < a.jobs_count && a.jobs[which + 1].first_block <= block.index) ++which;
    const PatchJob& job = a.jobs[which];
    const int patch = block.index - job.first_block;
    // Rows of the output walk through merge blocks row by row, inside a block row by row.
    const int blocks_across = job.out_width / (kPatch * kMerge), merged = patch / (kMerge * kMerge);
    const int inside = patch % (kMerge * kMerge);
    const int left = ((merged % blocks_across) * kMerge + inside % kMerge) * kPatch;
    const int top = ((merged / blocks_across) * kMerge + inside / kMerge) * kPatch;
    const int32_t* last = job.down.bounds + 2 * (top + kPatch - 1);
    const int first_line = job.down.bounds[2 * top];
    const int lines = last[0] + last[1] - first_line;
    const int64_t row = static_cast<int64_t>(job.first_row + patch) * (3 * 2 * kPatch * kPatch);

    for (int frame = 0; frame < 2; ++frame) {
      const uint8_t* picture = frame == 0 ? job.older : job.newer;
      if (frame == 1 && job.older == job.newer) break;
      block.phase([&](int thread) {
        for (int item = thread; item < lines * kPatch; item += kThreads) {
          const int line = item / kPatch, x = item % kPatch;
          const int32_t* bounds = job.across.bounds + 2 * (left + x);
          const int32_t* weights = job.across.coefficients + static_cast<int64_t>(left + x) * job.across.taps;
          int32_t sum[3] = {0, 0, 0};
          for (int tap = 0; tap < bounds[1]; ++tap) {
            const Rgb pixel = crop_pixel(job, picture, bounds[0] + tap, first_line + line);
            for (int channel = 0; channel < 3; ++channel) sum[channel] += weights[tap] * pixel.of[channel];
          }
          for (int channel = 0; channel < 3; ++channel) shared.lines[line][x][channel] = rounded(sum[channel]);
        }
      });
      block.phase([&](int thread) {
        for (int item = thread; item < 3 * kPatch * kPatch; item += kThreads) {
          const int channel = item / (kPatch * kPatch), y = item / kPatch % kPatch, x = item % kPatch;
          const int32_t* bounds = job.down.bounds + 2 * (top + y);
          const int32_t* weights = job.down.coefficients + static_cast<int64_t>(top + y) * job.down.taps;
          int32_t sum = 0;
          for (int tap = 0; tap < bounds[1]; ++tap)
            sum += weights[tap] * shared.lines[bounds[0] - first_line + tap][x][channel];
          const float value = a.table[channel * 256 + rounded(sum)];
          const int64_t element = row + (channel * 2 + frame) * kPatch * kPatch + y * kPatch + x;
          store(a, element, value);
          if (job.older == job.newer) store(a, element + kPatch * kPatch, value);
        }
      });
    }
  }
};

}  // namespace ovk
