// What differs between nvcc and a host compiler, and nothing else.
#pragma once

#ifdef __CUDACC_RTC__
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#else
#include <cstdint>
#endif

// A loop that nvcc would unroll until registers run out.
#ifdef __CUDACC__
#define OVK_INLINE __device__ __forceinline__
#define OVK_ROLLED _Pragma("unroll 1")
#else
#include <cmath>
#include <cstring>
#define OVK_INLINE inline
#define OVK_ROLLED
#endif

namespace ovk {

// a * b + c with one rounding. Builds forbid contraction (-ffp-contract=off, -fmad=false), so that this is the only
// place where multiply and add fuse, and results do not depend on the compiler.
OVK_INLINE float fused(float a, float b, float c) {
#ifdef __CUDACC__
  return __fmaf_rn(a, b, c);
#else
  return std::fmaf(a, b, c);
#endif
}

OVK_INLINE float square_root(float a) {
#ifdef __CUDACC__
  return __fsqrt_rn(a);
#else
  return std::sqrt(a);
#endif
}

OVK_INLINE uint32_t bits_of(float a) {
#ifdef __CUDACC__
  return __float_as_uint(a);
#else
  uint32_t bits;
  std::memcpy(&bits, &a, sizeof bits);
  return bits;
#endif
}

OVK_INLINE float float_of(uint32_t bits) {
#ifdef __CUDACC__
  return __uint_as_float(bits);
#else
  float a;
  std::memcpy(&a, &bits, sizeof a);
  return a;
#endif
}

OVK_INLINE bool is_finite(float a) { return (bits_of(a) & 0x7f800000u) != 0x7f800000u; }

OVK_INLINE float quiet_nan() { return float_of(0x7fc00000u); }

OVK_INLINE float smaller(float a, float b) { return a < b ? a : b; }
OVK_INLINE float larger(float a, float b) { return a > b ? a : b; }
OVK_INLINE int32_t clamped(int32_t value, int32_t low, int32_t high) {
  return value < low ? low : (value > high ? high : value);
}

}  // namespace ovk
