// Part of kernel 1: is there a second way to go? The most probable actions up to `grouped_mass` are linked where their
// end points lie within `link_m`; what hangs together, directly or over others, is one group. A blur of any width over
// neighbouring actions is one group; going on and braking are two.
#pragma once

#include "exact_math.h"
#include "reductions.h"

namespace ovk {

constexpr int kGrouped = 256;  // no more actions than this are linked: a flatter distribution has spread, not groups

struct GroupsShared {
  float x[kGrouped], y[kGrouped], weight[kGrouped];  // of the linked actions, most probable first
  int32_t label[2][kGrouped];
  float mass[kGrouped], sum_x[kGrouped], sum_y[kGrouped];  // of the group whose lowest member stands there
  Flags flags[8];
  Best best[8];
};

// What is handed out: the second group's share of all weight, and metres between both groups' means; 0 for one group.
struct SecondGroup {
  float mass, distance_m;
};

// The best of a thread's actions that come after `before`; `value(first)` and `may(first)` of the lanes from there on.
template <typename L, int kThreads, typename Value, typename May>
OVK_INLINE BestOf<L> next_of(const Best& before, int thread, int actions, Value value, May may) {
  BestOf<L> next = {L::all(float_of(0xff800000u)), L::all(actions)};
  OVK_ROLLED
  for (int first = thread; first < actions; first += kThreads) {
    const typename L::F found = value(first);
    const typename L::I action = L::counted(first);
    const typename L::M after =
        may(first) & ((found < before.value) | ((found == before.value) & (action > before.index)));
    next = better(next, {choose(after, found, L::all(float_of(0xff800000u))), choose(after, action, L::all(actions))});
  }
  return next;
}

// Groups of `count` actions in `shared`, relative to the first one's end point.
template <typename B, typename L>
OVK_INLINE SecondGroup second_group(B& block, int count, float link_m, float all, GroupsShared& shared) {
  using I = typename L::I;
  using F = typename L::F;
  using M = typename L::M;
  typename B::template Reg<FlagsOf<L>> changed;
  block.phase([&](int thread) { L::store(shared.label[0], thread, L::counted(thread)); });
  // Every action takes the lowest label in reach, then its label's label, until nothing changes.
  for (bool again = true; again;) {
    block.phase([&](int thread) {
      if (thread >= count) return;
      const F x = L::load(shared.x, thread, kGrouped), y = L::load(shared.y, thread, kGrouped);
      I lowest = L::load(shared.label[0], thread, kGrouped);
      for (int other = 0; other < count; ++other) {
        const F dx = x - shared.x[other], dy = y - shared.y[other];
        const I label = L::all(shared.label[0][other]);
        const M takes = (fused(dx, dx, dy * dy) <= link_m * link_m) & (label < lowest);
        lowest = choose(takes, label, lowest);
      }
      L::store(shared.label[1], thread, lowest);
    });
    block.phase([&](int thread) {
      changed[thread].bits = L::all(0u);
      if (thread >= count) return;
      const I before = L::load(shared.label[0], thread, kGrouped);
      const I label = L::gather(shared.label[1], L::load(shared.label[1], thread, kGrouped));
      changed[thread].bits = choose(label != before, L::all(1u), L::all(0u));
      L::store(shared.label[0], thread, label);
    });
    again = block.reduce(changed, shared.flags, Joined()).bits != 0u;
  }

  typename B::template Reg<BestOf<L>> heaviest;
  const float nothing = float_of(0xff800000u);
  block.phase([&](int thread) {
    heaviest[thread] = {L::all(nothing), L::all(count)};
    if (thread >= count) return;
    const I own = L::counted(thread);
    F mass = L::all(0.0f), x = mass, y = mass;
    for (int other = 0; other < count; ++other) {
      const F weight = choose(L::all(shared.label[0][other]) == own, L::all(shared.weight[other]), L::all(0.0f));
      mass = mass + weight;
      x = fused(weight, shared.x[other] - shared.x[0], x);
      y = fused(weight, shared.y[other] - shared.y[0], y);
    }
    L::store(shared.mass, thread, mass);
    L::store(shared.sum_x, thread, x);
    L::store(shared.sum_y, thread, y);
    const M leads = (mass > 0.0f) & (own < count);
    heaviest[thread] = {choose(leads, mass, L::all(nothing)), choose(leads, own, L::all(count))};
  });
  const Best first = block.reduce(heaviest, shared.best, Better());
  block.phase([&](int thread) {
    const BestOf<L> none = {L::all(nothing), L::all(count)};
    heaviest[thread] = chosen(heaviest[thread].index == first.index, none, heaviest[thread]);
  });
  const Best second = block.reduce(heaviest, shared.best, Better());
  if (second.index >= count) return {0.0f, 0.0f};
  const float dx = shared.sum_x[first.index] / first.value - shared.sum_x[second.index] / second.value;
  const float dy = shared.sum_y[first.index] / first.value - shared.sum_y[second.index] / second.value;
  return {second.value / all, square_root(fused(dx, dx, dy * dy))};
}

}  // namespace ovk
