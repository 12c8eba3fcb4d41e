"""Made-up results of episodes, for tests of summaries, tables and page."""

from __future__ import annotations

OWN = {
    "nc": 1.0, "dac": 1.0, "ddc": 1.0, "tlc": 1.0, "progress_m": 30.0, "ttc_v1": 1.0, "ttc": 1.0,
    "lane_keeping": 1.0, "comfort": 1.0, "history_comfort": 1.0, "contact_s": float("inf"),
}  # fmt: skip


def window(epdms=0.9, scenario="cruise", depth="fast", **own):
    return {
        "start_s": 0.0, "scenario": scenario, "depth": depth, "pdms": epdms, "epdms": epdms, "progress": 0.9,
        "extended_comfort": 1.0, "own": {**OWN, **own}, "expert": OWN, "after_collision": False,
    }  # fmt: skip


def plan(ade_m, spread_m):
    return {
        "ade_m": ade_m, "spread_m": spread_m, "negative_log_likelihood": 1.0, "slow_probability": 0.1, "depth": "fast"
    }  # fmt: skip


def result(seed, windows=(), plans=(), progress_m=100.0, **figures):
    base = {
        "expert_progress_m": 120.0, "progress_m": progress_m, "progress_share": progress_m / 120.0, "interventions": 0,
        "intervention_reasons": {}, "collisions_at_fault": 0, "collisions_other": 0, "off_road": 0, "red_lights": 0,
        "needless_stops": 0, "model_share": 1.0, "fork": {"n": 10, "fast": 9},
        "indicators": None,
    }  # fmt: skip
    return {
        "seed": seed, "sensor": "modelled", "variant": "modelled sensors", "outcome": "PASS", "reasons": [],
        "reactions": [], "digest": "0" * 64, "figures": {**base, **figures}, "mean_ttc_s": 5.0,
        "windows": list(windows), "plans": list(plans), "open_loop": [], "violations": [], "drawing": "<svg></svg>",
    }  # fmt: skip
