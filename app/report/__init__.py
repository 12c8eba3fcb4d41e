"""The single-file HTML report of a closed-loop run, and the picture for the README."""
