// What blocks reduce to: all operators give the same bits for (a, b) and (b, a).
#pragma once

#include "block.h"

namespace ovk {

// The larger value; of equal ones the smaller index. NaN never enters: callers flag it before.
struct Best {
  float value;
  int32_t index;
#ifdef __CUDACC__
  __device__ __forceinline__ Best exchanged(int stride) const {
    return {OVK_EXCHANGE(value, stride), OVK_EXCHANGE(index, stride)};
  }
#endif
};

OVK_INLINE bool precedes(const Best& a, const Best& b) {
  return a.value > b.value || (a.value == b.value && a.index < b.index);
}

OVK_INLINE Best better(const Best& a, const Best& b) { return precedes(b, a) ? b : a; }

struct Sums {
  static constexpr int kCount = 8;
  float of[kCount];
#ifdef __CUDACC__
  __device__ __forceinline__ Sums exchanged(int stride) const {
    Sums other;
#pragma unroll
    for (int i = 0; i < kCount; ++i) other.of[i] = OVK_EXCHANGE(of[i], stride);
    return other;
  }
#endif
};

OVK_INLINE Sums added(const Sums& a, const Sums& b) {
  Sums sum;
#ifdef __CUDACC__
#pragma unroll
#endif
  for (int i = 0; i < Sums::kCount; ++i) sum.of[i] = a.of[i] + b.of[i];
  return sum;
}

struct Flags {
  uint32_t bits;
#ifdef __CUDACC__
  __device__ __forceinline__ Flags exchanged(int stride) const { return {OVK_EXCHANGE(bits, stride)}; }
#endif
};

OVK_INLINE Flags joined(const Flags& a, const Flags& b) { return {a.bits | b.bits}; }

}  // namespace ovk
