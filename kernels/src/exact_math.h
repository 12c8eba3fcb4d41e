// Functions whose results must not depend on compiler or machine: exponential, logarithm, halves, Philox.
#pragma once

#include "platform.h"

namespace ovk {

// e^x for x <= 0, relative error below 2e-7; results below 2^-126 are 0. Cody-Waite reduction by ln 2 in two parts and
// the minimax polynomial of Cephes' expf (S. Moshier, netlib.org/cephes).
OVK_INLINE float exponential(float x) {
  if (!(x > -87.3f)) return 0.0f;
  const float shifted = fused(x, 1.44269504088896341f, 12582912.0f);
  const float n = shifted - 12582912.0f;
  float r = fused(n, -0.693359375f, x);
  r = fused(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = fused(p, r, 1.3981999507e-3f);
  p = fused(p, r, 8.3334519073e-3f);
  p = fused(p, r, 4.1665795894e-2f);
  p = fused(p, r, 1.6666665459e-1f);
  p = fused(p, r, 5.0000001201e-1f);
  p = fused(p, r * r, r) + 1.0f;
  return p * float_of(static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23);
}

// ln x for normal x > 0, error below 2e-7 relative or absolute; Cephes' logf.
OVK_INLINE float logarithm(float x) {
  const uint32_t bits = bits_of(x);
  int32_t exponent = static_cast<int32_t>(bits >> 23) - 126;
  float m = float_of((bits & 0x007fffffu) | 0x3f000000u);
  if (m < 0.707106781186547524f) {
    exponent -= 1;
    m = m + m;
  }
  const float f = m - 1.0f, z = f * f, e = static_cast<float>(exponent);
  float p = 7.0376836292e-2f;
  p = fused(p, f, -1.1514610310e-1f);
  p = fused(p, f, 1.1676998740e-1f);
  p = fused(p, f, -1.2420140846e-1f);
  p = fused(p, f, 1.4249322787e-1f);
  p = fused(p, f, -1.6668057665e-1f);
  p = fused(p, f, 2.0000714765e-1f);
  p = fused(p, f, -2.4999993993e-1f);
  p = fused(p, f, 3.3333331174e-1f);
  float y = f * z * p;
  y = fused(e, -2.12194440e-4f, y);
  y = fused(-0.5f, z, y);
  return fused(e, 0.693359375f, f + y);
}

// IEEE 754 binary16, round to nearest even, with subnormals.
OVK_INLINE float float_of_half(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 31u, mantissa = half & 1023u;
  if (exponent == 31u) return float_of(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0u) return float_of(sign | ((exponent + 112u) << 23) | (mantissa << 13));
  const float small = static_cast<float>(mantissa) * 5.9604644775390625e-8f;
  return float_of(sign | bits_of(small));
}

OVK_INLINE uint16_t half_of_float(float value) {
  const uint32_t bits = bits_of(value), magnitude = bits & 0x7fffffffu;
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {
    // Adding 0.5 puts the last bit of a subnormal half at the last bit of the sum, rounded to nearest even.
    const float sum = float_of(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (bits_of(sum) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112u << 10)));
}

struct Philox {
  uint32_t word[4];
};

// Philox4x32-10 (J. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011).
OVK_INLINE Philox philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = static_cast<uint64_t>(0xD2511F53u) * c0, second = static_cast<uint64_t>(0xCD9E8D57u) * c2;
    const uint32_t n0 = static_cast<uint32_t>(second >> 32) ^ c1 ^ k0, n1 = static_cast<uint32_t>(second);
    const uint32_t n2 = static_cast<uint32_t>(first >> 32) ^ c3 ^ k1, n3 = static_cast<uint32_t>(first);
    c0 = n0;
    c1 = n1;
    c2 = n2;
    c3 = n3;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// A standard Gumbel variate from 23 random bits: with 23 the middle of each interval is a float, so that the uniform
// lies strictly between 0 and 1.
OVK_INLINE float gumbel(uint32_t word) {
  const float uniform = fused(static_cast<float>(word >> 9), 1.1920928955078125e-7f, 5.9604644775390625e-8f);
  return -logarithm(-logarithm(uniform));
}

}  // namespace ovk
