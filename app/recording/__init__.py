"""Recordings of runs: made of the world in virtual time, replayed in lock-step, looked at."""
