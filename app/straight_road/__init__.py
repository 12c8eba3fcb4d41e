"""Real processes on a straight road, over either transport: for tests in real time and for the fault campaign."""
