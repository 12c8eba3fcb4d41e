"""What `onboard-vla evaluate` measures: episodes in lock-step, scored; plans along the expert's drive; intervals."""
