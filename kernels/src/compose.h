// Kernel 2: action tokens to poses: codebook gather and SE(2) composition. One block per sample.
#pragma once

#include "exact_math.h"
#include "reductions.h"

namespace ovk {

constexpr int kMaxTokens = 32;

// A codebook row: `sub_steps` times (x, y, heading, cos, sin), relative to the pose before the token; metres, rad.
struct ComposeArguments {
  const int32_t* tokens;  // (samples, tokens)
  const float* codebook;  // (actions, sub_steps, 5)
  float* poses;           // (samples, tokens, 3) x, y, heading in [-pi, pi)
  float* fine;            // (samples, tokens * sub_steps, 5) x, y, heading, cos, sin
  int32_t* invalid;       // (samples) 1 where a token is no action: its poses are NaN
  int32_t samples, tokens_per_sample, sub_steps, actions;
};

struct ComposeShared {
  float start[kMaxTokens][5];  // the pose before each token: x, y, heading, cos, sin
  Flags flags[8];
};

OVK_INLINE float wrapped(float angle) {
  const float turns = fused(angle, 0.15915494309189535f, 12582912.0f) - 12582912.0f;
  float rest = fused(turns, -6.28125f, angle);
  rest = fused(turns, -1.9353071795864769e-3f, rest);
  return rest >= 3.14159265358979f ? rest - 6.2831853071795865f : rest;
}

template <int kThreads>
struct Compose {
  using B = Block<kThreads>;

  static OVK_INLINE void run(B& block, const ComposeArguments& a, ComposeShared& shared) {
    const int32_t* tokens = a.tokens + static_cast<int64_t>(block.index) * a.tokens_per_sample;
    typename B::template Reg<Flags> wrong;
    block.phase([&](int thread) {
      wrong[thread] = {0u};
      for (int t = thread; t < a.tokens_per_sample; t += kThreads)
        if (tokens[t] < 0 || tokens[t] >= a.actions) wrong[thread] = {1u};
    });
    const bool valid = block.reduce(wrong, shared.flags, Joined()).bits == 0u;

    // Ten tokens in sequence: a scan over so few costs less than its barriers.
    block.phase([&](int thread) {
      if (thread != 0 || !valid) return;
      float x = 0.0f, y = 0.0f, heading = 0.0f, c = 1.0f, s = 0.0f;
      for (int t = 0; t < a.tokens_per_sample; ++t) {
        float* start = shared.start[t];
        start[0] = x;
        start[1] = y;
        start[2] = heading;
        start[3] = c;
        start[4] = s;
        const float* step = a.codebook + (static_cast<int64_t>(tokens[t]) * a.sub_steps + a.sub_steps - 1) * 5;
        x = fused(c, step[0], fused(-s, step[1], x));
        y = fused(s, step[0], fused(c, step[1], y));
        heading = heading + step[2];
        const float turned_c = fused(c, step[3], -s * step[4]), turned_s = fused(s, step[3], c * step[4]);
        // One Newton step keeps the direction a unit vector over any number of tokens.
        const float scale = fused(-0.5f, fused(turned_c, turned_c, turned_s * turned_s), 1.5f);
        c = turned_c * scale;
        s = turned_s * scale;
      }
      a.invalid[block.index] = 0;
#ifdef OVK_PLANT_OUT_OF_BOUNDS
      // Planted for a test of the tests.
      a.invalid[a.samples + block.index] = 0;
#endif
    });
    block.phase([&](int thread) {
      const int fine_poses = a.tokens_per_sample * a.sub_steps;
      float* fine = a.fine + static_cast<int64_t>(block.index) * fine_poses * 5;
      float* poses = a.poses + static_cast<int64_t>(block.index) * a.tokens_per_sample * 3;
      if (!valid && thread == 0) a.invalid[block.index] = 1;
      for (int i = thread; i < fine_poses; i += kThreads) {
        const int t = i / a.sub_steps, sub = i % a.sub_steps;
        float pose[5];
        if (valid) {
          const float* start = shared.start[t];
          const float* step = a.codebook + (static_cast<int64_t>(tokens[t]) * a.sub_steps + sub) * 5;
          pose[0] = fused(start[3], step[0], fused(-start[4], step[1], start[0]));
          pose[1] = fused(start[4], step[0], fused(start[3], step[1], start[1]));
          pose[2] = wrapped(start[2] + step[2]);
          pose[3] = fused(start[3], step[3], -start[4] * step[4]);
          pose[4] = fused(start[4], step[3], start[3] * step[4]);
        } else {
          for (int k = 0; k < 5; ++k) pose[k] = quiet_nan();
        }
        for (int k = 0; k < 5; ++k) fine[i * 5 + k] = pose[k];
        if (sub == a.sub_steps - 1)
          for (int k = 0; k < 3; ++k) poses[t * 3 + k] = pose[k];
      }
    });
  }
};

}  // namespace ovk
