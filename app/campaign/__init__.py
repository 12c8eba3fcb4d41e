"""The fault campaign: faults as data, injected between world and processes, judged from what was published."""
