// A block program: thread work in phases, with a barrier after each. One source for the GPU and for the host.
//
// Rules for programs, so that both sides do the same arithmetic in the same order:
//   - threads meet only between phases; within a phase no thread reads what another writes in that phase;
//   - what a thread keeps from phase to phase lives in Reg, what threads share lives in the program's Shared struct;
//   - `reduce` is the only cooperative primitive; its operator must be commutative to the bit;
//   - no early return across a phase, no atomics, no functions of libm.
//
// On the host a phase is a loop over the threads. Run forward and in reverse, with shared memory poisoned, it shows
// missing barriers and uninitialised reads (tests/kernels).
#pragma once

#include "platform.h"

namespace ovk {

constexpr int kWarp = 32;

#ifdef __CUDACC__

template <int kThreads>
struct Block {
  static constexpr int threads = kThreads;
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
    T value = reg.value;
#pragma unroll
    for (int stride = kWarp / 2; stride > 0; stride /= 2) value = combine(value, value.exchanged(stride));
    if (threadIdx.x % kWarp == 0) scratch[threadIdx.x / kWarp] = value;
    __syncthreads();
    value = scratch[0];
    for (int warp = 1; warp < kThreads / kWarp; ++warp) value = combine(value, scratch[warp]);
    __syncthreads();
    return value;
  }
};

#define OVK_EXCHANGE(member, stride) __shfl_xor_sync(0xffffffffu, member, stride)

#else

template <int kThreads>
struct Block {
  static constexpr int threads = kThreads;
  int index;
  bool reversed;

  template <typename T>
  struct Reg {
    T values[kThreads];
    T& operator[](int thread) { return values[thread]; }
  };

  template <typename Work>
  void phase(Work work) {
    if (reversed) {
      for (int thread = kThreads - 1; thread >= 0; --thread) work(thread);
    } else {
      for (int thread = 0; thread < kThreads; ++thread) work(thread);
    }
  }

  template <typename T, typename Combine>
  T reduce(Reg<T>& reg, T* scratch, Combine combine) {
    for (int warp = 0; warp < kThreads / kWarp; ++warp) {
      T lanes[kWarp], next[kWarp];
      for (int lane = 0; lane < kWarp; ++lane) lanes[lane] = reg.values[warp * kWarp + lane];
      for (int stride = kWarp / 2; stride > 0; stride /= 2) {
        for (int lane = 0; lane < kWarp; ++lane) next[lane] = combine(lanes[lane], lanes[lane ^ stride]);
        for (int lane = 0; lane < kWarp; ++lane) lanes[lane] = next[lane];
      }
      scratch[warp] = lanes[0];
    }
    T value = scratch[0];
    for (int warp = 1; warp < kThreads / kWarp; ++warp) value = combine(value, scratch[warp]);
    return value;
  }
};

#endif

}  // namespace ovk
