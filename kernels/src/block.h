// A block program: thread work in phases, with a barrier after each. One source for the GPU and for the host.
//
// Rules for programs, so that both sides do the same arithmetic in the same order:
//   - threads meet only between phases; within a phase no thread reads what another writes in that phase;
//   - what a thread keeps from phase to phase lives in Reg, what threads share lives in the program's Shared struct;
//   - `reduce` is the only cooperative primitive; its operator must be commutative to the bit, and where its type says
//     `kAnyOrder` associative, too;
//   - no early return across a phase, no atomics, no functions of libm.
//
// On the host a phase is a loop over the threads. Run forward and in reverse, with shared memory poisoned, it shows
// missing barriers and uninitialised reads (tests/kernels).
#pragma once

#include "lanes.h"

namespace ovk {

constexpr int kWarp = 32;

#ifdef __CUDACC__

template <int kThreads, int kWidth = 1>
struct Block {
  static constexpr int threads = kThreads;
  static_assert(kWidth == 1, "a thread of the GPU has one lane");
  int index;

  template <typename T>
  struct Reg {
    T value;
    __device__ __forceinline__ T& operator[](int) { return value; }
  };

  template <typename Work>
  __device__ __forceinline__ void phase(Work work) {
    work(static_cast<int>(threadIdx.x));
    __syncthreads();
  }

  // The value of all threads combined, known to every thread: butterflies in each warp, then warp by warp.
  template <typename T, typename Combine>
  __device__ __forceinline__ T reduce(Reg<T>& reg, T* scratch, Combine combine) {
    static_assert(kThreads % kWarp == 0, "whole warps");
    T value = reg.value;
#pragma unroll
    for (int stride = kWarp / 2; stride > 0; stride /= 2) value = combine(value, value.exchanged(stride));
    if (threadIdx.x % kWarp == 0) scratch[threadIdx.x / kWarp] = value;
    __syncthreads();
    value = scratch[0];
    OVK_ROLLED
    for (int warp = 1; warp < kThreads / kWarp; ++warp) value = combine(value, scratch[warp]);
    __syncthreads();
    return value;
  }
};

#define OVK_EXCHANGE(member, stride) __shfl_xor_sync(0xffffffffu, member, stride)

#else

// Threads run one by one, or `kWidth` neighbours at once: then `thread` is the first of them and values are `Lanes`.
template <int kThreads, int kWidth = 1>
struct Block {
  static constexpr int threads = kThreads;
  int index;
  bool reversed;

  template <typename T>
  struct Reg {
    T values[kThreads / kWidth];
    T& operator[](int thread) { return values[thread / kWidth]; }
  };

  template <typename Work>
  void phase(Work work) {
    if (reversed) {
      for (int thread = kThreads - kWidth; thread >= 0; thread -= kWidth) work(thread);
    } else {
      for (int thread = 0; thread < kThreads; thread += kWidth) work(thread);
    }
  }

  // What the device's butterflies give lane 0, which is what they give every lane, because operators are commutative.
  template <typename T, typename Combine>
  typename T::Scalar reduce(Reg<T>& reg, typename T::Scalar* scratch, Combine combine) {
    constexpr int kPerWarp = kWarp / kWidth;
    if constexpr (T::kAnyOrder) {
      T whole = reg.values[0];
      for (int i = 1; i < kThreads / kWidth; ++i) whole = combine(whole, reg.values[i]);
      return over_lanes(whole, combine);
    }
    for (int warp = 0; warp < kThreads / kWarp; ++warp) {
      T parts[kPerWarp];
      for (int i = 0; i < kPerWarp; ++i) parts[i] = reg.values[warp * kPerWarp + i];
      for (int half = kPerWarp / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) parts[i] = combine(parts[i], parts[i + half]);
      scratch[warp] = over_lanes(parts[0], combine);
    }
    typename T::Scalar value = scratch[0];
    for (int warp = 1; warp < kThreads / kWarp; ++warp) value = combine(value, scratch[warp]);
    return value;
  }

 private:
  template <typename T, typename Combine>
  static typename T::Scalar over_lanes(const T& value, Combine combine) {
    typename T::Scalar lanes[kWidth];
    for (int i = 0; i < kWidth; ++i) lanes[i] = value.lane(i);
    for (int half = kWidth / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) lanes[i] = combine(lanes[i], lanes[i + half]);
    return lanes[0];
  }
};

#endif

}  // namespace ovk
