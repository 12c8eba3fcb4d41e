// Kernel 4: footprints of K candidates against moving boxes. One block per candidate. A proposal filter, no safety
// check: the supervisor's own check runs on the CPU and shares nothing with this.
#pragma once

#include "exact_math.h"
#include "reductions.h"

namespace ovk {

// Boxes move with constant velocity from time 0; candidates' pose i is due at (i + 1) * step_s. Touching is overlap.
struct FootprintArguments {
  const float* fine;        // (candidates, steps, 5) x, y, heading, cos, sin of the rear axle
  const float* boxes;       // (boxes, 8) x, y, cos, sin, half length, half width, velocity x, velocity y
  int32_t* first_contact;   // (candidates) index of the first pose that overlaps a box; steps: none; -1: not finite
  int32_t* box;             // (candidates) lowest index of a box overlapped at that pose; -1: none
  int32_t candidates, steps, boxes_count;
  float half_length_m, half_width_m, centre_ahead_m, margin_m, step_s;
};

struct FootprintShared {
  Best best[8];
  Flags flags[8];
};

// Separating axes of two rectangles (S. Gottschalk, M. Lin, D. Manocha, OBBTree, SIGGRAPH 1996, in the plane).
OVK_INLINE bool overlap(float dx, float dy, float c, float s, float length, float width, float oc, float os,
                        float other_length, float other_width) {
  const float cosine = fused(c, oc, s * os), sine = fused(c, os, -s * oc);
  const float ac = larger(cosine, -cosine), as = larger(sine, -sine);
  const float along = fused(dx, c, dy * s), across = fused(dy, c, -dx * s);
  if (larger(along, -along) > length + fused(other_length, ac, other_width * as)) return false;
  if (larger(across, -across) > width + fused(other_length, as, other_width * ac)) return false;
  const float other_along = fused(dx, oc, dy * os), other_across = fused(dy, oc, -dx * os);
  if (larger(other_along, -other_along) > other_length + fused(length, ac, width * as)) return false;
  return !(larger(other_across, -other_across) > other_width + fused(length, as, width * ac));
}

template <int kThreads>
struct Footprint {
  using B = Block<kThreads>;

  static OVK_INLINE void run(B& block, const FootprintArguments& a, FootprintShared& shared) {
    const float* fine = a.fine + static_cast<int64_t>(block.index) * a.steps * 5;
    const int none = a.steps * a.boxes_count;
    typename B::template Reg<Best> first;
    typename B::template Reg<Flags> wrong;
    block.phase([&](int thread) {
      Best found = {0.0f, none};
      Flags bad = {0u};
      for (int i = thread; i < a.steps * 5; i += kThreads)
        if (!is_finite(fine[i])) bad.bits |= 1u;
      for (int i = thread; i < a.boxes_count * 8; i += kThreads)
        if (!is_finite(a.boxes[i])) bad.bits |= 1u;
      // Ascending, hence the first hit of a thread is its earliest.
      for (int test = thread; test < none && found.index == none; test += kThreads) {
        const float* pose = fine + (test / a.boxes_count) * 5;
        const float* box = a.boxes + (test % a.boxes_count) * 8;
        const float time = static_cast<float>(test / a.boxes_count + 1) * a.step_s;
        const float dx = fused(box[6], time, box[0]) - fused(pose[3], a.centre_ahead_m, pose[0]);
        const float dy = fused(box[7], time, box[1]) - fused(pose[4], a.centre_ahead_m, pose[1]);
        if (overlap(dx, dy, pose[3], pose[4], a.half_length_m + a.margin_m, a.half_width_m + a.margin_m, box[2],
                    box[3], box[4], box[5]))
          found.index = test;
      }
      first[thread] = found;
      wrong[thread] = bad;
    });
    const bool finite = block.reduce(wrong, shared.flags, Joined()).bits == 0u;
    const Best hit = block.reduce(first, shared.best, Better());
    block.phase([&](int thread) {
      if (thread != 0) return;
      const bool contact = finite && hit.index < none;
      a.first_contact[block.index] = !finite ? -1 : (contact ? hit.index / a.boxes_count : a.steps);
      a.box[block.index] = contact ? hit.index % a.boxes_count : -1;
    });
  }
};

}  // namespace ovk
