"""The reference gate as a ROS 2 node: `python -m onboard_vla.ros_nodes.vehicle_gate --ros-args ...`."""

if __name__ == "__main__":
    import sys

    from onboard_vla.core.early_exit import end_cleanly_when_told

    end_cleanly_when_told()

    from onboard_vla.ros_nodes.gate_host import GATE_ROLE
    from onboard_vla.ros_nodes.node_main import run_node

    sys.exit(run_node(GATE_ROLE))
