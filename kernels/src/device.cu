// The device entry points: one global function per kernel, its arguments one struct by value.
#include "launches.h"

#define OVK_DEVICE(name, Program, Shared, Arguments)                                                          \
  extern "C" __global__ void __launch_bounds__(ovk::Program::B::threads) ovk_##name(ovk::Arguments arguments) { \
    __shared__ ovk::Shared shared;                                                                            \
    ovk::Program::B block{static_cast<int>(blockIdx.x)};                                                      \
    ovk::Program::run(block, arguments, shared);                                                              \
  }
OVK_KERNELS(OVK_DEVICE)
