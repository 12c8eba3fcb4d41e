// Kernel 3: how far K sampled trajectories lie apart, and which of them no vehicle can drive. One block.
#pragma once

#include "exact_math.h"
#include "reductions.h"

namespace ovk {

constexpr int kMaxSamples = 256;

enum LimitFlag : uint32_t {
  kSampleNotFinite = 1u,
  kSpeed = 2u,
  kAcceleration = 4u,
  kDeceleration = 8u,
  kJerk = 16u,
  kYawRate = 32u,
  kLateralAcceleration = 64u,
  kReverse = 128u
};

// Limits are compared with finite differences of consecutive poses; the pose before the first is the origin.
struct DispersionArguments {
  const float* poses;        // (samples, steps, 3) x, y, heading; metres, rad
  float* mean;               // (steps, 2)
  float* covariance;         // (steps, 3) xx, xy, yy; over finite samples, divided by their number
  float* pairwise;           // (samples, samples) mean distance over the steps; NaN where either is not finite
  float* mean_distance;      // (samples) mean of pairwise over the other finite samples; NaN where not finite
  uint32_t* flags;           // (samples)
  int32_t* medoid;           // (1) finite sample with the smallest mean distance; -1: none is finite
  int32_t samples, steps;
  float step_s, speed_now_mps;
  float speed_max_mps, acceleration_max_mps2, deceleration_max_mps2, jerk_max_mps3, yaw_rate_max_rps,
      lateral_max_mps2, reverse_max_m;
};

struct DispersionShared {
  uint32_t flags[kMaxSamples];
#ifdef OVK_PLANT_MISSING_BARRIER
  float distance[kMaxSamples];
#endif
  Best best[8];
};

template <int kThreads>
struct Dispersion {
  using B = Block<kThreads>;

  static OVK_INLINE uint32_t limits(const DispersionArguments& a, const float* poses) {
    uint32_t flags = 0u;
    for (int i = 0; i < a.steps * 3; ++i)
      if (!is_finite(poses[i])) return kSampleNotFinite;
    float x = 0.0f, y = 0.0f, heading = 0.0f, speed = a.speed_now_mps, acceleration = 0.0f;
    for (int t = 0; t < a.steps; ++t) {
      const float dx = poses[3 * t] - x, dy = poses[3 * t + 1] - y;
      const float before_x = t < 1 ? 1.0f : poses[3 * t - 3] - (t < 2 ? 0.0f : poses[3 * t - 6]);
      const float before_y = t < 1 ? 0.0f : poses[3 * t - 2] - (t < 2 ? 0.0f : poses[3 * t - 5]);
      const float way = square_root(fused(dx, dx, dy * dy));
      const float along = fused(dx, before_x, dy * before_y);
      const float now = way / a.step_s;
      const float now_acceleration = (now - speed) / a.step_s;
      float turn = poses[3 * t + 2] - heading;
      if (turn > 3.14159265358979f) turn = turn - 6.2831853071795865f;
      if (turn < -3.14159265358979f) turn = turn + 6.2831853071795865f;
      const float yaw_rate = turn / a.step_s, jerk = (now_acceleration - acceleration) / a.step_s;
      if (now > a.speed_max_mps) flags |= kSpeed;
      if (now_acceleration > a.acceleration_max_mps2) flags |= kAcceleration;
      if (now_acceleration < -a.deceleration_max_mps2) flags |= kDeceleration;
      if (t > 0 && larger(jerk, -jerk) > a.jerk_max_mps3) flags |= kJerk;
      if (larger(yaw_rate, -yaw_rate) > a.yaw_rate_max_rps) flags |= kYawRate;
      if (larger(yaw_rate, -yaw_rate) * now > a.lateral_max_mps2) flags |= kLateralAcceleration;
      if (along < 0.0f && way > a.reverse_max_m) flags |= kReverse;
      x = poses[3 * t];
      y = poses[3 * t + 1];
      heading = poses[3 * t + 2];
      speed = now;
      acceleration = now_acceleration;
    }
    return flags;
  }

  static OVK_INLINE void run(B& block, const DispersionArguments& a, DispersionShared& shared) {
    const int width = a.steps * 3;
    block.phase([&](int thread) {
      for (int k = thread; k < a.samples; k += kThreads) {
        const uint32_t found = limits(a, a.poses + static_cast<int64_t>(k) * width);
        shared.flags[k] = found;
        a.flags[k] = found;
      }
    });
    block.phase([&](int thread) {
      const float nan = quiet_nan();
      for (int pair = thread; pair < a.samples * a.samples; pair += kThreads) {
        const int k = pair / a.samples, other = pair % a.samples;
        float sum = 0.0f;
        if ((shared.flags[k] | shared.flags[other]) & kSampleNotFinite) {
          sum = nan;
        } else {
          const float *p = a.poses + static_cast<int64_t>(k) * width, *q = a.poses + static_cast<int64_t>(other) * width;
          for (int t = 0; t < a.steps; ++t) {
            const float dx = p[3 * t] - q[3 * t], dy = p[3 * t + 1] - q[3 * t + 1];
            sum = sum + square_root(fused(dx, dx, dy * dy));
          }
        }
        a.pairwise[pair] = sum / static_cast<float>(a.steps);
      }
      for (int t = thread; t < a.steps; t += kThreads) {
        float count = 0.0f, x = 0.0f, y = 0.0f;
        for (int k = 0; k < a.samples; ++k) {
          if (shared.flags[k] & kSampleNotFinite) continue;
          count = count + 1.0f;
          x = x + a.poses[static_cast<int64_t>(k) * width + 3 * t];
          y = y + a.poses[static_cast<int64_t>(k) * width + 3 * t + 1];
        }
        x = x / count;
        y = y / count;
        float xx = 0.0f, xy = 0.0f, yy = 0.0f;
        for (int k = 0; k < a.samples; ++k) {
          if (shared.flags[k] & kSampleNotFinite) continue;
          const float dx = a.poses[static_cast<int64_t>(k) * width + 3 * t] - x;
          const float dy = a.poses[static_cast<int64_t>(k) * width + 3 * t + 1] - y;
          xx = fused(dx, dx, xx);
          xy = fused(dx, dy, xy);
          yy = fused(dy, dy, yy);
        }
        a.mean[2 * t] = count > 0.0f ? x : nan;
        a.mean[2 * t + 1] = count > 0.0f ? y : nan;
        a.covariance[3 * t] = count > 0.0f ? xx / count : nan;
        a.covariance[3 * t + 1] = count > 0.0f ? xy / count : nan;
        a.covariance[3 * t + 2] = count > 0.0f ? yy / count : nan;
      }
    });
    typename B::template Reg<Best> nearest;
    block.phase([&](int thread) {
      Best best = {float_of(0xff800000u), a.samples};
      for (int k = thread; k < a.samples; k += kThreads) {
        float sum = 0.0f, others = 0.0f;
        for (int other = 0; other < a.samples; ++other) {
          if (other == k || (shared.flags[other] & kSampleNotFinite)) continue;
          sum = sum + a.pairwise[k * a.samples + other];
          others = others + 1.0f;
        }
        const bool finite = (shared.flags[k] & kSampleNotFinite) == 0u;
        const float distance = others > 0.0f ? sum / others : 0.0f;
        a.mean_distance[k] = finite ? distance : quiet_nan();
        if (finite) best = better(best, {-distance, k});
      }
      nearest[thread] = best;
    });
    const Best found = block.reduce(nearest, shared.best, Better());
    block.phase([&](int thread) {
      if (thread == 0) a.medoid[0] = found.index < a.samples ? found.index : -1;
    });
#ifdef OVK_PLANT_MISSING_BARRIER
    // Planted for a test of the tests: a thread reads what its neighbour writes in the same phase.
    block.phase([&](int thread) {
      for (int k = thread; k < a.samples; k += kThreads) {
        shared.distance[k] = static_cast<float>(k);
        a.mean_distance[k] = shared.distance[(k + 1) % a.samples];
      }
    });
#endif
  }
};

}  // namespace ovk
