// The C ABI of the host library: runs block programs as loops. Called by ctypes (kernels/host_library.py).
//
// OVK_THREADS fixes the block size as on the device, so that reductions have the same tree and results the same bits.
#include "host_distances.h"
#include "host_patches.h"
#include "launches.h"

namespace {

template <typename Program, typename Shared, typename Arguments>
void run_blocks(const Arguments& arguments, int begin, int end, int reversed) {
  static thread_local Shared shared;
  for (int index = begin; index < end; ++index) {
    // On the device shared memory holds what the block before left there; here it holds NaN, so that a read before a
    // write shows.
    std::memset(static_cast<void*>(&shared), 0xff, sizeof shared);
    typename Program::B block;
    block.index = reversed ? begin + end - 1 - index : index;
    block.reversed = reversed != 0;
    Program::run(block, arguments, shared);
  }
}

// A program that is written for lanes runs with as many as a register has.
template <typename Program>
struct Widest {
  using type = Program;
};
template <int kThreads>
struct Widest<ovk::ActionStatistics<kThreads, 1>> {
  using type = ovk::ActionStatistics<kThreads, ovk::kHostLanes>;
};

}  // namespace

extern "C" {

int32_t ovk_version() { return ovk::kAbiVersion; }

// Each argument struct's size, so that the caller can compare it with its own layout.
int32_t ovk_size_of(int32_t kernel) {
  switch (kernel) {
    case 0: return sizeof(ovk::PatchArguments);
    case 1: return sizeof(ovk::StatisticsArguments);
    case 2: return sizeof(ovk::ComposeArguments);
    case 3: return sizeof(ovk::DispersionArguments);
    case 4: return sizeof(ovk::FootprintArguments);
    case 5: return sizeof(ovk::PatchJob);
    case 6: return sizeof(ovk::RowStatistics);
    case 7: return sizeof(ovk::DistanceArguments);
    default: return -1;
  }
}

#define OVK_HOST(name, Program, Shared, Arguments)                                                            \
  void ovk_##name(const ovk::Arguments* arguments, int32_t begin, int32_t end, int32_t reversed) {            \
    if (reversed) /* thread by thread: other blocks, other lanes, the same bits */                            \
      run_blocks<ovk::Program, ovk::Shared>(*arguments, begin, end, reversed);                                \
    else                                                                                                      \
      run_blocks<Widest<ovk::Program>::type, ovk::Shared>(*arguments, begin, end, reversed);                  \
  }
OVK_KERNELS(OVK_HOST)
#undef OVK_HOST

// Kernel 0 for speed: jobs `begin` to `end`, to the bit what ovk_patches writes.
void ovk_patches_by_rows(const ovk::PatchArguments* arguments, int32_t begin, int32_t end) {
  static thread_local ovk::HostScratch scratch;
  uint16_t halves[3 * 256];
  for (int i = 0; i < 3 * 256; ++i) halves[i] = ovk::half_of_float(arguments->table[i]);
  for (int index = begin; index < end; ++index) {
    const ovk::PatchJob& job = arguments->jobs[index];
    if (arguments->is_half)
      ovk::host_patches(job, halves, static_cast<uint16_t*>(arguments->out), scratch);
    else
      ovk::host_patches(job, arguments->table, static_cast<float*>(arguments->out), scratch);
  }
}

void ovk_distances(const ovk::DistanceArguments* arguments) { ovk::distances(*arguments); }

}  // extern "C"
