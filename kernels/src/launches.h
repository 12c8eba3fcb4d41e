// The kernels, their block sizes and argument structs: one table for the host library and for the device code.
#pragma once

#include "action_statistics.h"
#include "compose.h"
#include "dispersion.h"
#include "footprint.h"
#include "patches.h"

namespace ovk {

constexpr int32_t kAbiVersion = 3;
using PatchesProgram = Patches<128>;
using StatisticsProgram = ActionStatistics<256>;
using ComposeProgram = Compose<64>;
using DispersionProgram = Dispersion<256>;
using FootprintProgram = Footprint<128>;

}  // namespace ovk

// name, program, shared memory, arguments
#define OVK_KERNELS(ENTRY)                                                        \
  ENTRY(patches, PatchesProgram, PatchShared, PatchArguments)                     \
  ENTRY(action_statistics, StatisticsProgram, StatisticsShared, StatisticsArguments) \
  ENTRY(compose, ComposeProgram, ComposeShared, ComposeArguments)                 \
  ENTRY(dispersion, DispersionProgram, DispersionShared, DispersionArguments)     \
  ENTRY(footprint, FootprintProgram, FootprintShared, FootprintArguments)
