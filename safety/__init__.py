"""The supervisor's side: camera guard, plan guards, ladder, fallback planner, `Supervisor`. NumPy only."""
