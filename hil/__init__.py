"""The processes over ZeroMQ, for machines without ROS 2, and the hardware-in-the-loop rig."""
