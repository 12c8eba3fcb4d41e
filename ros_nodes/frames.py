"""Names of the frames, by REP-105."""

ODOMETRY_FRAME, VEHICLE_FRAME = "odom", "base_link"
"""base_link is the rear axle's centre on the ground."""
