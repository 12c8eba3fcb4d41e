// How far mean embeddings lie from what a model knows, for all cameras in one call. For the host alone, no block program:
// an engine's embeddings lie in the processor's memory, and a GPU's launch would take longer than this.
//
// A product is summed in `kSums` parts, whatever the build's registers hold, so that its tree is the same in every build.
#pragma once

#include "lanes.h"

namespace ovk {

struct DistanceArguments {
  const float* const* embeddings;  // (cameras), each (tokens, width)
  const int32_t* tokens;           // (cameras) at least 1
  const int32_t* known;            // (cameras) its row of the five below; -1: none
  const float* means;              // (rows, width) of embeddings of length 1
  const float* basis;              // (rows, directions, width) orthonormal, or 0 for a direction that there is not
  const float* variances;          // (rows, directions) along the basis
  const float* rest_variances;     // (rows) along every other direction
  const float* units;              // (rows)
  float* pooled;                   // out (cameras, width): the tokens' means
  float* away;                     // (width) scratch
  float* distances;                // out (cameras) in units; NaN where nothing is known or a sum is not finite
  int32_t cameras, directions, width, unused;
};

constexpr int kSums = 16;
constexpr float kTiny = 1.17549435e-38f;

// What `numpy.add.reduce(embeddings, axis=0) / tokens` gives, to the bit.
inline void pool_tokens(const float* embeddings, int32_t tokens, int32_t width, float* pooled) {
  for (int32_t i = 0; i < width; ++i) pooled[i] = embeddings[i];
  for (int32_t token = 1; token < tokens; ++token) {
    const float* row = embeddings + static_cast<int64_t>(token) * width;
    for (int32_t i = 0; i < width; ++i) pooled[i] += row[i];
  }
  const float count = static_cast<float>(tokens);
  for (int32_t i = 0; i < width; ++i) pooled[i] /= count;
}

using Wide = Lanes<kHostLanes>::F;

inline Wide wide_at(const float* from) {
  Wide value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline float inner_product(const float* a, const float* b, int32_t width) {
  Wide wide[kSums / kHostLanes] = {};
  int32_t i = 0;
  for (; i + kSums <= width; i += kSums)
    for (int part = 0; part < kSums / kHostLanes; ++part)
      wide[part] = fused(wide_at(a + i + part * kHostLanes), wide_at(b + i + part * kHostLanes), wide[part]);
  float sums[kSums];
  std::memcpy(sums, wide, sizeof sums);
  for (int k = 0; i + k < width; ++k) sums[k] = fused(a[i + k], b[i + k], sums[k]);
  for (int half = kSums / 2; half > 0; half /= 2)
    for (int k = 0; k < half; ++k) sums[k] += sums[k + half];
  return sums[0];
}

// Mahalanobis with a shrunk covariance: the basis' directions have their variances, all others share one.
inline float distance_of(const DistanceArguments& a, const float* pooled, int32_t row) {
  const float length = square_root(inner_product(pooled, pooled, a.width));
  if (!is_finite(length)) return quiet_nan();
  const float divisor = larger(length, kTiny);
  const float* mean = a.means + static_cast<int64_t>(row) * a.width;
  for (int32_t i = 0; i < a.width; ++i) a.away[i] = pooled[i] / divisor - mean[i];
  float near = 0.0f, explained = 0.0f;
  for (int32_t k = 0; k < a.directions; ++k) {
    const int64_t direction = static_cast<int64_t>(row) * a.directions + k;
    const float along = inner_product(a.basis + direction * a.width, a.away, a.width);
    const float squared = along * along;
    near += squared / a.variances[direction];
    explained += squared;
  }
  const float rest = larger(inner_product(a.away, a.away, a.width) - explained, 0.0f);
  const float whole = near + rest / a.rest_variances[row];
  return is_finite(whole) ? square_root(whole) / a.units[row] : quiet_nan();
}

inline void distances(const DistanceArguments& a) {
  for (int32_t camera = 0; camera < a.cameras; ++camera) {
    float* pooled = a.pooled + static_cast<int64_t>(camera) * a.width;
    pool_tokens(a.embeddings[camera], a.tokens[camera], a.width, pooled);
    const int32_t row = a.known[camera];
    a.distances[camera] = row < 0 ? quiet_nan() : distance_of(a, pooled, row);
  }
}

}  // namespace ovk
