// Kernel 1: what one decoding step's logits say about the motion. One block per row; one launch per step.
#pragma once

#include "motion_groups.h"

namespace ovk {

constexpr int kTop = 8;

enum StatisticsFlag : uint32_t {
  kNotFinite = 1u,    // a logit of the row is NaN or infinite: nothing else of the row is valid
  kNoneAllowed = 2u,  // the mask allows no token
  kNoAction = 4u      // `chosen` is no allowed action
};

// Rows are `row_stride` elements apart and begin anywhere (odd vocabularies leave halves only 2-byte aligned).
// `choice` of a row: `chosen` where that is given, else sampled where temperature > 0, else the best. All figures but
// `best`, `margin`, draws and `top` come from raw logits, divided by `calibration_temperature` alone.
struct StatisticsArguments {
  const void* logits;           // (rows, >= vocabulary) halves or floats
  const uint8_t* allowed;       // (actions) 0 or 1; null: all
  const uint8_t* seen;          // (rows, actions) 1 where the penalty holds; null: none
  const int32_t* chosen;        // (rows) actions that were decoded already; null: choose
  const float* ends;            // (2, actions) x, then y of end points in metres
  const uint64_t* seed;         // (1) in device memory, so that a captured graph follows it
  const uint32_t* step;         // (1) in device memory
  struct RowStatistics* out;    // (rows)
  int64_t row_stride;
  int32_t rows, vocabulary, first_action, actions;
  int32_t is_half;
  float temperature, calibration_temperature, repetition_penalty, near_m;
  float link_m, grouped_mass;   // see motion_groups.h; grouped_mass 0: no groups are sought
};

struct RowStatistics {
  int32_t best;                 // action index, highest penalised logit among allowed ones; -1: none
  int32_t choice;               // action index to decode with; -1: none
  uint32_t flags;
  float margin;                 // best minus second best penalised logit; infinite where only one is allowed
  float log_sum_exp;            // over allowed actions
  float entropy;                // nats, over allowed actions
  float best_probability;
  float choice_log_probability;
  float spread_m;               // root-mean-square distance of end points from their mean
  float near_mass;              // probability of end points within near_m of the choice's
  float outside_mass;           // probability of all that is no allowed action, over the whole vocabulary
  float second_mass;            // probability of the second group of motions; 0 where there is one
  float second_distance_m;      // between the means of the two heaviest groups; 0 where there is one
  int32_t top[kTop];            // action indices by penalised logit, -1 beyond the allowed ones
  float top_logit[kTop];
};

// What the pass over a row finds.
template <typename L>
struct ScanOf {
  using Scalar = ScanOf<Lanes<1>>;
  static constexpr bool kAnyOrder = true;
  typename L::F highest;        // of the whole vocabulary
  typename L::U flags;
  BestOf<L> raw, deciding, drawn;
  OVK_INLINE Scalar lane(int i) const {
    return {L::lane(highest, i), L::lane(flags, i), raw.lane(i), deciding.lane(i), drawn.lane(i)};
  }
  OVK_FROM_LANE(ScanOf, OVK_EXCHANGE(highest, stride), OVK_EXCHANGE(flags, stride), raw.exchanged(stride),
                deciding.exchanged(stride), drawn.exchanged(stride))
};

struct Scanned {
  template <typename T>
  OVK_INLINE T operator()(const T& a, const T& b) const {
    return {choose(b.highest > a.highest, b.highest, a.highest), a.flags | b.flags, better(a.raw, b.raw),
            better(a.deciding, b.deciding), better(a.drawn, b.drawn)};
  }
};

struct StatisticsShared {
  Best top[kTop];
  Best best[8];
  ScanOf<Lanes<1>> scan[8];
  Sums sums[8];
  GroupsShared groups;
};

template <int kThreads, int kWidth = 1>
struct ActionStatistics {
  using B = Block<kThreads, kWidth>;
  using L = Lanes<kWidth>;
  using One = Lanes<1>;
  using F = typename L::F;
  using M = typename L::M;
  static_assert(kThreads / kWarp <= 8 && kThreads == kGrouped, "scratch");

  // Logits from `first` on of the `count` that begin at element `begin`.
  template <typename Of>
  static OVK_INLINE typename Of::F logits(const StatisticsArguments& a, int64_t begin, int first, int count) {
    if (a.is_half) return float_of_half(Of::load(static_cast<const uint16_t*>(a.logits) + begin, first, count));
    return Of::load(static_cast<const float*>(a.logits) + begin, first, count);
  }

  static OVK_INLINE M allowed(const StatisticsArguments& a, int first) {
    const M there = L::counted(first) < a.actions;
    if (a.allowed == nullptr) return there;
    return there & (L::load(a.allowed, first, a.actions) != 0u);
  }

  // The logits that decide, after the penalty of Keskar et al. (CTRL, 2019) as transformers applies it.
  static OVK_INLINE F penalised(const StatisticsArguments& a, int row, int first, F raw) {
    if (a.seen == nullptr) return raw;
    const M seen = L::load(a.seen + static_cast<int64_t>(row) * a.actions, first, a.actions) != 0u;
    return choose(seen, choose(raw < 0.0f, raw * a.repetition_penalty, raw / a.repetition_penalty), raw);
  }

  static OVK_INLINE ScanOf<L> scanned(const StatisticsArguments& a, int row, int thread) {
    const int64_t begin = static_cast<int64_t>(row) * a.row_stride;
    const F lowest = L::all(float_of(0xff800000u));
    const BestOf<L> none = {lowest, L::all(a.actions)};
    ScanOf<L> scan = {lowest, L::all(0u), none, none, none};
    for (int first = thread; first < a.vocabulary; first += kThreads) {
      const F value = logits<L>(a, begin, first, a.vocabulary);
      const M there = L::counted(first) < a.vocabulary;
      scan.flags = scan.flags | choose(is_finite(value), L::all(0u), L::all(uint32_t{kNotFinite}));
      scan.highest = choose(there & (value > scan.highest), value, scan.highest);
    }
    const float heat = a.temperature > 0.0f ? 1.0f / a.temperature : 0.0f;
    const uint64_t seed = a.temperature > 0.0f ? *a.seed : 0u;
    const uint32_t step = a.temperature > 0.0f ? *a.step : 0u;
    OVK_ROLLED
    for (int first = thread; first < a.actions; first += kThreads) {
      const M may = allowed(a, first);
      const typename L::I action = choose(may, L::counted(first), none.index);
      const F value = logits<L>(a, begin + a.first_action, first, a.actions), decides = penalised(a, row, first, value);
      scan.raw = better(scan.raw, {choose(may, value, lowest), action});
      if (a.seen != nullptr) scan.deciding = better(scan.deciding, {choose(may, decides, lowest), action});
      if (heat > 0.0f) {
        const typename L::U index = unsigned_of(L::counted(first)), part = index & 3u;
        const auto random = philox(index >> 2, L::all(static_cast<uint32_t>(row)), L::all(step), L::all(0u),
                                   static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
        const typename L::U word = choose(part < 2u, choose(part == 0u, random.word[0], random.word[1]),
                                          choose(part == 2u, random.word[2], random.word[3]));
        scan.drawn = better(scan.drawn, {choose(may, fused(decides, heat, gumbel(word)), lowest), action});
      }
    }
    if (a.seen == nullptr) scan.deciding = scan.raw;
    return scan;
  }

  // Weights of a thread's actions and of what is no allowed action. Positions relative to the peak's end point, so that
  // a small spread does not drown in the square of a long way.
  static OVK_INLINE SumsOf<L> summed(const StatisticsArguments& a, int row, int thread, const Best& peak, float highest,
                                     int choice) {
    const int64_t begin = static_cast<int64_t>(row) * a.row_stride;
    const float *ends_x = a.ends, *ends_y = a.ends + a.actions, cool = 1.0f / a.calibration_temperature;
    const F zero = L::all(0.0f);
    SumsOf<L> sum;
    for (int k = 0; k < Sums::kCount; ++k) sum.of[k] = zero;
    OVK_ROLLED
    for (int first = thread; first < a.actions; first += kThreads) {
      const M may = allowed(a, first);
      const F value = logits<L>(a, begin + a.first_action, first, a.actions);
      const F below = choose(may, (value - peak.value) * cool, zero);
      const F weight = choose(may, exponential(below), zero);
      const F end_x = L::load(ends_x, first, a.actions), end_y = L::load(ends_y, first, a.actions);
      const F x = end_x - ends_x[peak.index], y = end_y - ends_y[peak.index];
      const F to_x = end_x - ends_x[choice], to_y = end_y - ends_y[choice];
      const M near = fused(to_x, to_x, to_y * to_y) <= a.near_m * a.near_m;
      sum.of[0] = sum.of[0] + weight;
      sum.of[2] = fused(weight, below, sum.of[2]);
      sum.of[3] = fused(weight, x, sum.of[3]);
      sum.of[4] = fused(weight, y, sum.of[4]);
      sum.of[5] = fused(weight, fused(x, x, y * y), sum.of[5]);
      sum.of[6] = sum.of[6] + choose(near, weight, zero);
      if (a.allowed != nullptr) {
        const M masked = (L::counted(first) < a.actions) & (L::load(a.allowed, first, a.actions) == 0u);
        sum.of[1] = sum.of[1] + choose(masked, exponential((value - highest) * cool), zero);
      }
    }
    const int after = a.first_action + a.actions;
    for (int part = 0; part < 2; ++part) {
      const int64_t from = part == 0 ? begin : begin + after;
      const int count = part == 0 ? a.first_action : a.vocabulary - after;
      for (int first = thread; first < count; first += kThreads) {
        const F share = exponential((logits<L>(a, from, first, count) - highest) * cool);
        sum.of[1] = sum.of[1] + choose(L::counted(first) < count, share, zero);
      }
    }
    return sum;
  }

  static OVK_INLINE void run(B& block, const StatisticsArguments& a, StatisticsShared& shared) {
    const int row = block.index;
    const int64_t actions = static_cast<int64_t>(row) * a.row_stride + a.first_action;
    typename B::template Reg<ScanOf<L>> scans;
    block.phase([&](int thread) { scans[thread] = scanned(a, row, thread); });
    const ScanOf<One> found = block.reduce(scans, shared.scan, Scanned());
    const Best peak = found.raw;
    uint32_t flags = found.flags | (found.deciding.index >= a.actions ? kNoneAllowed : 0u);
    int choice = a.temperature > 0.0f ? found.drawn.index : found.deciding.index;
    if (a.chosen != nullptr) {
      choice = a.chosen[row];
      const bool action = choice >= 0 && choice < a.actions && (a.allowed == nullptr || a.allowed[choice] != 0);
      if (!action) flags |= kNoAction;
    }
    const bool valid = flags == 0u;

    // The next best thread by thread: only the thread that gave the last one looks again.
    const auto may = [&](int first) { return allowed(a, first); };
    const auto raw = [&](int first) { return logits<L>(a, actions, first, a.actions); };
    const auto deciding = [&](int first) { return penalised(a, row, first, raw(first)); };
    typename B::template Reg<BestOf<L>> rest;
    Best before = found.deciding;
    block.phase([&](int thread) { rest[thread] = scans[thread].deciding; });
    OVK_ROLLED
    for (int rank = 1; rank < kTop; ++rank) {
      block.phase([&](int thread) {
        if (thread == 0) shared.top[rank - 1] = before;
        look_again(rest, before, thread, a.actions, deciding, may);
      });
      before = block.reduce(rest, shared.best, Better());
    }
    block.phase([&](int thread) {
      if (thread == 0) shared.top[kTop - 1] = before;
    });

    typename B::template Reg<SumsOf<L>> sums;
    block.phase([&](int thread) {
      if (valid) {
        sums[thread] = summed(a, row, thread, peak, found.highest, choice);
      } else {
        for (int k = 0; k < Sums::kCount; ++k) sums[thread].of[k] = L::all(0.0f);
      }
    });
    const Sums total = block.reduce(sums, shared.sums, Added());
    const float cool = 1.0f / a.calibration_temperature, mass = total.of[0];

    SecondGroup second = {0.0f, 0.0f};
    if (valid && a.grouped_mass > 0.0f) {
      int count = 0;
      float weight = 1.0f, sum = 0.0f;
      before = peak;
      block.phase([&](int thread) { rest[thread] = scans[thread].raw; });
      while (count < kGrouped && before.index < a.actions && weight > 0.0f && sum < a.grouped_mass * mass) {
        block.phase([&](int thread) {
          if (thread == 0) {
            shared.groups.x[count] = a.ends[before.index];
            shared.groups.y[count] = a.ends[a.actions + before.index];
            shared.groups.weight[count] = weight;
          }
          look_again(rest, before, thread, a.actions, raw, may);
        });
        sum = sum + weight;
        count = count + 1;
        before = block.reduce(rest, shared.best, Better());
        weight = exponential((before.value - peak.value) * cool);
      }
      second = second_group<B, L>(block, count, a.link_m, mass, shared.groups);
    }

    block.phase([&](int thread) {
      if (thread != 0) return;
      const Best* top = shared.top;
      RowStatistics& out = a.out[row];
      const float nan = quiet_nan();
      out.flags = flags;
      out.best = valid ? top[0].index : -1;
      out.choice = valid ? choice : -1;
      for (int rank = 0; rank < kTop; ++rank) {
        const bool there = valid && top[rank].index < a.actions;
        out.top[rank] = there ? top[rank].index : -1;
        out.top_logit[rank] = there ? top[rank].value : nan;
      }
      const float log_mass = valid ? logarithm(mass) : nan;
      const float mean_x = total.of[3] / mass, mean_y = total.of[4] / mass;
      const float variance = total.of[5] / mass - fused(mean_x, mean_x, mean_y * mean_y);
      const float inside = valid ? mass * exponential((peak.value - found.highest) * cool) : nan;
      const auto below = [&](int action) { return (logits<One>(a, actions, action, a.actions) - peak.value) * cool; };
      out.margin = !valid ? nan : (top[1].index < a.actions ? top[0].value - top[1].value : float_of(0x7f800000u));
      out.log_sum_exp = valid ? fused(peak.value, cool, log_mass) : nan;
      out.entropy = valid ? larger(log_mass - total.of[2] / mass, 0.0f) : nan;
      out.best_probability = valid ? exponential(below(out.best)) / mass : nan;
      out.choice_log_probability = valid ? below(choice) - log_mass : nan;
      out.spread_m = valid ? square_root(larger(variance, 0.0f)) : nan;
      out.near_mass = valid ? smaller(total.of[6] / mass, 1.0f) : nan;
      out.outside_mass = valid ? total.of[1] / (total.of[1] + inside) : nan;
      out.second_mass = valid ? second.mass : nan;
      out.second_distance_m = valid ? second.distance_m : nan;
    });
  }

  template <typename Rest, typename Value, typename May>
  static OVK_INLINE void look_again(Rest& rest, const Best& before, int thread, int actions, Value value, May may) {
    const int owner = before.index % kThreads - thread;
    if (owner < 0 || owner >= L::width) return;
    const BestOf<L> next = next_of<L, kThreads>(before, thread, actions, value, may);
    rest[thread] = chosen(L::counted(0) == owner, next, rest[thread]);
  }
};

}  // namespace ovk
