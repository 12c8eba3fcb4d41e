// Functions whose results must not depend on compiler or machine: exponential, logarithm, halves, Philox.
#pragma once

#include "lanes.h"

namespace ovk {

// e^x for x <= 0, relative error below 2e-7; results below 2^-126 are 0. Cody-Waite reduction by ln 2 in two parts and
// the minimax polynomial of Cephes' expf (S. Moshier, netlib.org/cephes).
template <typename F>
OVK_INLINE F exponential(F given) {
  using L = LanesOf<F>;
  const auto normal = given > -87.3f;
  const F x = choose(normal, given, L::all(-87.3f));
  const F shifted = fused(x, 1.44269504088896341f, 12582912.0f);
  const F n = shifted - 12582912.0f;
  F r = fused(n, -0.693359375f, x);
  r = fused(n, 2.12194440e-4f, r);
  F p = fused(r, 1.9875691500e-4f, 1.3981999507e-3f);
  p = fused(p, r, 8.3334519073e-3f);
  p = fused(p, r, 4.1665795894e-2f);
  p = fused(p, r, 1.6666665459e-1f);
  p = fused(p, r, 5.0000001201e-1f);
  p = fused(p, r * r, r) + 1.0f;
  const F power = p * float_of(unsigned_of(integer_of(n) + 127) << 23);
  return choose(normal, power, L::all(0.0f));
}

// ln x for normal x > 0, error below 2e-7 relative or absolute; Cephes' logf.
template <typename F>
OVK_INLINE F logarithm(F x) {
  const auto bits = bits_of(x);
  const F half = float_of((bits & 0x007fffffu) | 0x3f000000u);
  const auto low = half < 0.707106781186547524f;
  const F m = choose(low, half + half, half), exponent = float_from(signed_of(bits >> 23) - 126);
  const F e = choose(low, exponent - 1.0f, exponent);
  const F f = m - 1.0f, z = f * f;
  F p = fused(f, 7.0376836292e-2f, -1.1514610310e-1f);
  p = fused(p, f, 1.1676998740e-1f);
  p = fused(p, f, -1.2420140846e-1f);
  p = fused(p, f, 1.4249322787e-1f);
  p = fused(p, f, -1.6668057665e-1f);
  p = fused(p, f, 2.0000714765e-1f);
  p = fused(p, f, -2.4999993993e-1f);
  p = fused(p, f, 3.3333331174e-1f);
  F y = f * z * p;
  y = fused(e, -2.12194440e-4f, y);
  y = fused(z, -0.5f, y);
  return fused(e, 0.693359375f, f + y);
}

// IEEE 754 binary16, round to nearest even, with subnormals.
template <typename U>
OVK_INLINE auto float_of_half(U half) {
  const U sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 31u, mantissa = half & 1023u;
  const U special = sign | 0x7f800000u | (mantissa << 13), usual = sign | ((exponent + 112u) << 23) | (mantissa << 13);
  const U small = sign | bits_of(float_from(signed_of(mantissa)) * 5.9604644775390625e-8f);
  return float_of(choose(exponent == 31u, special, choose(exponent != 0u, usual, small)));
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

template <typename U>
struct Philox {
  U word[4];
};

// Philox4x32-10 (J. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011).
template <typename U>
OVK_INLINE Philox<U> philox(U c0, U c1, U c2, U c3, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const U n0 = high_word(c2, 0xCD9E8D57u) ^ c1 ^ k0, n1 = c2 * 0xCD9E8D57u;
    const U n2 = high_word(c0, 0xD2511F53u) ^ c3 ^ k1, n3 = c0 * 0xD2511F53u;
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
template <typename U>
OVK_INLINE auto gumbel(U word) {
  const auto uniform = fused(float_from(signed_of(word >> 9)), 1.1920928955078125e-7f, 5.9604644775390625e-8f);
  return -logarithm(-logarithm(uniform));
}

}  // namespace ovk
