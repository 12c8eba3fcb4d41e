// Kernel 1: what one decoding step's logits say about the motion. One block per row; one launch per step.
#pragma once

#include "exact_math.h"
#include "reductions.h"

namespace ovk {

constexpr int kTop = 8;

enum StatisticsFlag : uint32_t {
  kNotFinite = 1u,   // a logit of the row is NaN or infinite: nothing else of the row is valid
  kNoneAllowed = 2u  // the mask allows no token
};

// Rows are `row_stride` elements apart and begin anywhere (odd vocabularies leave halves only 2-byte aligned).
// `choice` of a row: sampled where temperature > 0, else the best. All figures but `best`, `margin`, `sampled` and `top`
// come from raw logits, divided by `calibration_temperature` alone.
struct StatisticsArguments {
  const void* logits;           // (rows, >= vocabulary) halves or floats
  const uint8_t* allowed;       // (actions) 0 or 1; null: all
  const uint8_t* seen;          // (rows, actions) 1 where the penalty holds; null: none
  const float* ends;            // (actions, 2) end points in metres
  const uint64_t* seed;         // (1) in device memory, so that a captured graph follows it
  const uint32_t* step;         // (1) in device memory
  struct RowStatistics* out;    // (rows)
  int64_t row_stride;
  int32_t rows, vocabulary, first_action, actions;
  int32_t is_half;
  float temperature, calibration_temperature, repetition_penalty, near_m;
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
  int32_t top[kTop];            // action indices by penalised logit, -1 beyond the allowed ones
  float top_logit[kTop];
};

struct StatisticsShared {
  Best top[kTop];
  Best best[8];
  Sums sums[8];
  Flags flags[8];
};

template <int kThreads>
struct ActionStatistics {
  using B = Block<kThreads>;
  static_assert(kThreads / kWarp <= 8, "scratch");

  static OVK_INLINE float logit(const StatisticsArguments& a, int64_t element) {
    return a.is_half ? float_of_half(static_cast<const uint16_t*>(a.logits)[element])
                     : static_cast<const float*>(a.logits)[element];
  }

  static OVK_INLINE bool allowed(const StatisticsArguments& a, int action) {
    return a.allowed == nullptr || a.allowed[action] != 0;
  }

  // The logit that decides, after the penalty of Keskar et al. (CTRL, 2019) as transformers applies it.
  static OVK_INLINE float penalised(const StatisticsArguments& a, int row, int action, float raw) {
    if (a.seen == nullptr || a.seen[static_cast<int64_t>(row) * a.actions + action] == 0) return raw;
    return raw < 0.0f ? raw * a.repetition_penalty : raw / a.repetition_penalty;
  }

  static OVK_INLINE void run(B& block, const StatisticsArguments& a, StatisticsShared& shared) {
    const int row = block.index;
    const int64_t begin = static_cast<int64_t>(row) * a.row_stride, actions = begin + a.first_action;
    const float lowest = float_of(0xff800000u);
    typename B::template Reg<Flags> flags;
    typename B::template Reg<Best> whole, deciding, raw_best, drawn;
    const float heat = a.temperature > 0.0f ? 1.0f / a.temperature : 0.0f;
    const uint64_t seed = a.temperature > 0.0f ? *a.seed : 0u;
    const uint32_t step = a.temperature > 0.0f ? *a.step : 0u;

    block.phase([&](int thread) {
      Flags bad = {0u};
      Best everything = {lowest, a.vocabulary};
      for (int token = thread; token < a.vocabulary; token += kThreads) {
        const float value = logit(a, begin + token);
        if (!is_finite(value)) bad.bits |= kNotFinite;
        everything = better(everything, {value, token});
      }
      flags[thread] = bad;
      whole[thread] = everything;
      Best best = {lowest, a.actions}, raw = best, draw = best;
      for (int action = thread; action < a.actions; action += kThreads) {
        if (!allowed(a, action)) continue;
        const float value = logit(a, actions + action);
        const float decides = penalised(a, row, action, value);
        raw = better(raw, {value, action});
        best = better(best, {decides, action});
        if (heat > 0.0f) {
          const Philox random = philox(static_cast<uint32_t>(action) / 4u, static_cast<uint32_t>(row), step, 0u,
                                       static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
          draw = better(draw, {fused(decides, heat, gumbel(random.word[action % 4])), action});
        }
      }
      deciding[thread] = best;
      raw_best[thread] = raw;
      drawn[thread] = draw;
    });
    Flags found = block.reduce(flags, shared.flags, joined);
    const Best peak_whole = block.reduce(whole, shared.best, better);
    const Best peak = block.reduce(raw_best, shared.best, better);
    const Best sampled = block.reduce(drawn, shared.best, better);
    const Best first = block.reduce(deciding, shared.best, better);
    if (first.index >= a.actions) found.bits |= kNoneAllowed;

    Best before = first;
    for (int rank = 1; rank < kTop; ++rank) {
      block.phase([&](int thread) {
        if (thread == 0) shared.top[rank - 1] = before;
        Best next = {lowest, a.actions};
        for (int action = thread; action < a.actions; action += kThreads) {
          if (!allowed(a, action)) continue;
          const Best candidate = {penalised(a, row, action, logit(a, actions + action)), action};
          if (precedes(before, candidate)) next = better(next, candidate);
        }
        deciding[thread] = next;
      });
      before = block.reduce(deciding, shared.best, better);
    }

    const bool valid = found.bits == 0u;
    const int choice = a.temperature > 0.0f ? sampled.index : first.index;
    const float cool = 1.0f / a.calibration_temperature;
    const float centre_x = valid ? a.ends[2 * peak.index] : 0.0f, centre_y = valid ? a.ends[2 * peak.index + 1] : 0.0f;
    const float choice_x = valid ? a.ends[2 * choice] : 0.0f, choice_y = valid ? a.ends[2 * choice + 1] : 0.0f;
    typename B::template Reg<Sums> sums;

    // Relative to the peak's end point, so that a small spread does not drown in the square of a long way.
    block.phase([&](int thread) {
      Sums sum = {{0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}};
      if (valid) {
        for (int token = thread; token < a.vocabulary; token += kThreads) {
          const int action = token - a.first_action;
          const float value = logit(a, begin + token);
          const bool inside = action >= 0 && action < a.actions && allowed(a, action);
          const float share = exponential((value - peak_whole.value) * cool);
          if (!inside) {
            sum.of[1] = sum.of[1] + share;
            continue;
          }
          sum.of[7] = sum.of[7] + share;
          const float below = (value - peak.value) * cool, weight = exponential(below);
          const float x = a.ends[2 * action] - centre_x, y = a.ends[2 * action + 1] - centre_y;
          const float to_x = a.ends[2 * action] - choice_x, to_y = a.ends[2 * action + 1] - choice_y;
          sum.of[0] = sum.of[0] + weight;
          sum.of[2] = fused(weight, below, sum.of[2]);
          sum.of[3] = fused(weight, x, sum.of[3]);
          sum.of[4] = fused(weight, y, sum.of[4]);
          sum.of[5] = fused(weight, fused(x, x, y * y), sum.of[5]);
          if (fused(to_x, to_x, to_y * to_y) <= a.near_m * a.near_m) sum.of[6] = sum.of[6] + weight;
        }
      }
      sums[thread] = sum;
    });
    const Sums total = block.reduce(sums, shared.sums, added);

    block.phase([&](int thread) {
      if (thread != 0) return;
      const Best* top = shared.top;
      shared.top[kTop - 1] = before;
      RowStatistics& out = a.out[row];
      const float nan = quiet_nan();
      out.flags = found.bits;
      out.best = valid ? top[0].index : -1;
      out.choice = valid ? choice : -1;
      for (int rank = 0; rank < kTop; ++rank) {
        const bool there = valid && top[rank].index < a.actions;
        out.top[rank] = there ? top[rank].index : -1;
        out.top_logit[rank] = there ? top[rank].value : nan;
      }
      const float mass = total.of[0], log_mass = valid ? logarithm(mass) : nan;
      const float mean_x = total.of[3] / mass, mean_y = total.of[4] / mass;
      const float variance = total.of[5] / mass - fused(mean_x, mean_x, mean_y * mean_y);
      out.margin = !valid ? nan : (top[1].index < a.actions ? top[0].value - top[1].value : float_of(0x7f800000u));
      out.log_sum_exp = valid ? fused(peak.value, cool, log_mass) : nan;
      out.entropy = valid ? larger(log_mass - total.of[2] / mass, 0.0f) : nan;
      out.best_probability = valid ? exponential((logit(a, actions + out.best) - peak.value) * cool) / mass : nan;
      out.choice_log_probability = valid ? (logit(a, actions + choice) - peak.value) * cool - log_mass : nan;
      out.spread_m = valid ? square_root(larger(variance, 0.0f)) : nan;
      out.near_mass = valid ? smaller(total.of[6] / mass, 1.0f) : nan;
      out.outside_mass = valid ? total.of[1] / (total.of[1] + total.of[7]) : nan;
    });
  }
};

}  // namespace ovk
