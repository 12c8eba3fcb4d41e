// What a thread of a block program computes with: one value (`Lanes<1>`, the GPU and the host thread by thread), or on
// the host the values of neighbouring threads at once, in one register. Each lane does the arithmetic of its thread, so
// that the width changes no bit; `choose` stands where a thread would branch.
#pragma once

#include "platform.h"

#ifndef __CUDACC__
#include <type_traits>
#if defined(__FMA__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif
#endif

namespace ovk {

// `mask ? a : b` in each lane; masks are results of comparisons, joined with & and |.
template <typename Mask, typename T>
OVK_INLINE T choose(Mask mask, T a, T b) {
  return mask ? a : b;
}

template <int kWidth>
struct Lanes;

template <>
struct Lanes<1> {
  static constexpr int width = 1;
  using F = float;
  using I = int32_t;
  using U = uint32_t;
  using M = bool;

  static OVK_INLINE F all(float value) { return value; }
  static OVK_INLINE I all(int32_t value) { return value; }
  static OVK_INLINE U all(uint32_t value) { return value; }
  static OVK_INLINE I counted(int first) { return first; }
  static OVK_INLINE bool any(bool mask) { return mask; }
  template <typename T>
  static OVK_INLINE T lane(T value, int) {
    return value;
  }
  // Elements `first` and following of `count`; lanes beyond are 0.
  static OVK_INLINE F load(const float* from, int64_t first, int64_t) { return from[first]; }
  static OVK_INLINE I load(const int32_t* from, int64_t first, int64_t) { return from[first]; }
  static OVK_INLINE U load(const uint16_t* from, int64_t first, int64_t) { return from[first]; }
  static OVK_INLINE U load(const uint8_t* from, int64_t first, int64_t) { return from[first]; }
  static OVK_INLINE I gather(const int32_t* from, I index) { return from[index]; }
  template <typename T>
  static OVK_INLINE void store(T* to, int64_t first, T value) {
    to[first] = value;
  }
};

template <typename T>
using LanesOf = Lanes<sizeof(T) / 4>;

OVK_INLINE int32_t integer_of(float a) { return static_cast<int32_t>(a); }
OVK_INLINE float float_from(int32_t a) { return static_cast<float>(a); }
OVK_INLINE uint32_t unsigned_of(int32_t a) { return static_cast<uint32_t>(a); }
OVK_INLINE int32_t signed_of(uint32_t a) { return static_cast<int32_t>(a); }
OVK_INLINE uint32_t high_word(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>((static_cast<uint64_t>(a) * b) >> 32);
}

#ifndef __CUDACC__

// Vector types of GCC and Clang.
template <typename T, int kWidth>
struct VectorOf {
  typedef T type __attribute__((vector_size(sizeof(T) * kWidth)));
};

template <int kWidth>
struct Lanes {
  static constexpr int width = kWidth;
  using F = typename VectorOf<float, kWidth>::type;
  using I = typename VectorOf<int32_t, kWidth>::type;
  using U = typename VectorOf<uint32_t, kWidth>::type;
  using M = I;

  static inline F all(float value) { return F{} + value; }
  static inline I all(int32_t value) { return I{} + value; }
  static inline U all(uint32_t value) { return U{} + value; }
  static inline I counted(int first) {
    I lanes;
    for (int i = 0; i < kWidth; ++i) lanes[i] = i;
    return lanes + first;
  }
  static inline bool any(M mask) {
    int64_t parts[kWidth / 2], found = 0;
    std::memcpy(parts, &mask, sizeof parts);
    for (int i = 0; i < kWidth / 2; ++i) found |= parts[i];
    return found != 0;
  }
  template <typename T>
  static inline auto lane(T value, int i) {
    return value[i];
  }
  static inline F load(const float* from, int64_t first, int64_t count) { return loaded<F>(from, first, count); }
  static inline I load(const int32_t* from, int64_t first, int64_t count) { return loaded<I>(from, first, count); }
  static inline U load(const uint16_t* from, int64_t first, int64_t count) {
    using Halves = typename VectorOf<uint16_t, kWidth>::type;
    return __builtin_convertvector(loaded<Halves>(from, first, count), U);
  }
  static inline U load(const uint8_t* from, int64_t first, int64_t count) {
    using Bytes = typename VectorOf<uint8_t, kWidth>::type;
    return __builtin_convertvector(loaded<Bytes>(from, first, count), U);
  }
  static inline I gather(const int32_t* from, I index) {
    I value;
    for (int i = 0; i < kWidth; ++i) value[i] = from[index[i]];
    return value;
  }
  template <typename T, typename V>
  static inline void store(T* to, int64_t first, V value) {
    std::memcpy(to + first, &value, sizeof value);
  }

 private:
  template <typename V, typename T>
  static inline V loaded(const T* from, int64_t first, int64_t count) {
    V value{};
    if (first + kWidth <= count) {
      std::memcpy(&value, from + first, sizeof value);
    } else {
      for (int i = 0; first + i < count; ++i) value[i] = from[first + i];
    }
    return value;
  }
};

template <typename V>
using IfVector = std::enable_if_t<(sizeof(V) > 8), V>;

template <typename V>
inline IfVector<V> as(const V& value) {
  return value;
}
template <typename V>
inline IfVector<V> as(float value) {
  return V{} + value;
}

// a * b + c with one rounding, in each lane.
template <typename A, typename B, typename C, typename V = IfVector<decltype(A() * B() + C())>>
inline V fused(A first, B second, C third) {
  const V a = as<V>(first), b = as<V>(second), c = as<V>(third);
  V sum;
#ifdef __AVX512F__
  if constexpr (sizeof(V) == 64) sum = (V)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
  else
#endif
#ifdef __FMA__
  if constexpr (sizeof(V) == 32) sum = (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
  else
#endif
#ifdef __ARM_NEON
  if constexpr (sizeof(V) == 16) sum = (V)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
  else
#endif
    for (unsigned i = 0; i < sizeof(V) / 4; ++i) sum[i] = std::fmaf(a[i], b[i], c[i]);
  return sum;
}

template <typename F, typename = IfVector<F>>
inline typename LanesOf<F>::I integer_of(F a) {
  return __builtin_convertvector(a, typename LanesOf<F>::I);
}
template <typename I, typename = IfVector<I>>
inline typename LanesOf<I>::F float_from(I a) {
  return __builtin_convertvector(a, typename LanesOf<I>::F);
}
template <typename V, typename = IfVector<V>>
inline typename LanesOf<V>::U unsigned_of(V a) {
  return (typename LanesOf<V>::U)a;
}
template <typename V, typename = IfVector<V>>
inline typename LanesOf<V>::I signed_of(V a) {
  return (typename LanesOf<V>::I)a;
}
template <typename F, typename = IfVector<F>>
inline typename LanesOf<F>::U bits_of(F a) {
  return (typename LanesOf<F>::U)a;
}
template <typename U, typename = IfVector<U>>
inline typename LanesOf<U>::F float_of(U a) {
  return (typename LanesOf<U>::F)a;
}
template <typename U, typename = IfVector<U>>
inline U high_word(U a, uint32_t b) {
#ifdef __AVX2__
  // Compilers make three products of each here.
  if constexpr (sizeof(U) == 32) {
    const __m256i given = (__m256i)a, factor = _mm256_set1_epi32(static_cast<int>(b));
    const __m256i even = _mm256_mul_epu32(given, factor), odd = _mm256_mul_epu32(_mm256_srli_epi64(given, 32), factor);
    return (U)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
  }
#endif
  using Products = typename VectorOf<uint64_t, LanesOf<U>::width>::type;
  const Products product = __builtin_convertvector(a, Products) * static_cast<uint64_t>(b);
  return __builtin_convertvector(product >> 32, U);
}

template <typename F, typename = IfVector<F>>
inline auto is_finite(F a) {
  return (bits_of(a) & 0x7f800000u) != 0x7f800000u;
}

// As many lanes as a register has.
#if defined(__AVX512F__)
constexpr int kHostLanes = 16;
#elif defined(__AVX__)
constexpr int kHostLanes = 8;
#else
constexpr int kHostLanes = 4;
#endif

#endif

}  // namespace ovk
