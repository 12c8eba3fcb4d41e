"""The ladder's modes in colour, green to red."""

from __future__ import annotations

from onboard_vla.core.safe_trajectory import Mode

COLOURS = {
    Mode.NOMINAL: (0.1, 0.7, 0.3),
    Mode.REDUCED: (0.7, 0.8, 0.1),
    Mode.FALLBACK: (0.95, 0.65, 0.1),
    Mode.IN_LANE_STOP: (0.9, 0.3, 0.1),
    Mode.EMERGENCY_STOP: (0.85, 0.05, 0.1),
    Mode.STOPPED: (0.5, 0.0, 0.3),
}
"""Red, green, blue from 0 to 1."""
