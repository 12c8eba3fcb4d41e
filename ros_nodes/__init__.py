"""ROS 2 nodes: thin hosts that convert messages and call the bodies of runtime and safety."""
