"""How well a trajectory drives: PDMS of NAVSIM v1, EPDMS of NAVSIM v2, nuPlan's comfort limits, displacement errors.

Definitions: Dauner et al., "NAVSIM: Data-driven non-reactive autonomous vehicle simulation and benchmarking", NeurIPS
2024 (PDMS); Cao et al., "Pseudo-simulation for autonomous driving", CoRL 2025 (EPDMS); thresholds and order of checks
as in the public scorer, github.com/autonomousvision/navsim, navsim/planning/simulation/planner/pdm_planner/scoring at
commit 0811876 (v1.1) and 0a380a9 (v2). Where this code differs, the module that does says so.
"""
