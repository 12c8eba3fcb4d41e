// What blocks reduce to: all operators give the same bits for (a, b) and (b, a).
#pragma once

#include "block.h"

namespace ovk {

#ifdef __CUDACC__
#define OVK_FROM_LANE(Type, ...) \
  __device__ __forceinline__ Type exchanged(int stride) const { return {__VA_ARGS__}; }
#else
#define OVK_FROM_LANE(Type, ...)
#endif

// The larger value; of equal ones the smaller index. NaN as `b` is never taken; callers begin with a number as `a` and flag NaN.
template <typename L>
struct BestOf {
  using Scalar = BestOf<Lanes<1>>;
  static constexpr bool kAnyOrder = true;
  typename L::F value;
  typename L::I index;
  OVK_INLINE Scalar lane(int i) const { return {L::lane(value, i), L::lane(index, i)}; }
  OVK_FROM_LANE(BestOf, OVK_EXCHANGE(value, stride), OVK_EXCHANGE(index, stride))
};
using Best = BestOf<Lanes<1>>;

template <typename L>
OVK_INLINE BestOf<L> better(const BestOf<L>& a, const BestOf<L>& b) {
  const typename L::M other = (b.value > a.value) | ((b.value == a.value) & (b.index < a.index));
  return {choose(other, b.value, a.value), choose(other, b.index, a.index)};
}

// Of `b` where `mask` holds.
template <typename L>
OVK_INLINE BestOf<L> chosen(typename L::M mask, const BestOf<L>& b, const BestOf<L>& a) {
  return {choose(mask, b.value, a.value), choose(mask, b.index, a.index)};
}

struct Better {
  template <typename T>
  OVK_INLINE T operator()(const T& a, const T& b) const {
    return better(a, b);
  }
};

template <typename L>
struct SumsOf {
  using Scalar = SumsOf<Lanes<1>>;
  static constexpr bool kAnyOrder = false;
  static constexpr int kCount = 7;
  typename L::F of[kCount];
  OVK_INLINE Scalar lane(int i) const {
    Scalar sums;
    for (int k = 0; k < kCount; ++k) sums.of[k] = L::lane(of[k], i);
    return sums;
  }
#ifdef __CUDACC__
  __device__ __forceinline__ SumsOf exchanged(int stride) const {
    SumsOf other;
#pragma unroll
    for (int i = 0; i < kCount; ++i) other.of[i] = OVK_EXCHANGE(of[i], stride);
    return other;
  }
#endif
};
using Sums = SumsOf<Lanes<1>>;

struct Added {
  template <typename T>
  OVK_INLINE T operator()(const T& a, const T& b) const {
    T sum;
#ifdef __CUDACC__
#pragma unroll
#endif
    for (int i = 0; i < T::kCount; ++i) sum.of[i] = a.of[i] + b.of[i];
    return sum;
  }
};

template <typename L>
struct FlagsOf {
  using Scalar = FlagsOf<Lanes<1>>;
  static constexpr bool kAnyOrder = true;
  typename L::U bits;
  OVK_INLINE Scalar lane(int i) const { return {L::lane(bits, i)}; }
  OVK_FROM_LANE(FlagsOf, OVK_EXCHANGE(bits, stride))
};
using Flags = FlagsOf<Lanes<1>>;

struct Joined {
  template <typename T>
  OVK_INLINE T operator()(const T& a, const T& b) const {
    return {a.bits | b.bits};
  }
};

}  // namespace ovk
