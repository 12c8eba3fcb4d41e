"""Where the rooms are put together: command line, demo, closed loop, faults, evaluation and reports."""
