"""The graph of ROS 2 nodes without `ros2 launch`: what a deployment file asks for, its start, and checks before it."""
