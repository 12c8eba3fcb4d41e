"""The camera guard as a ROS 2 node: `python -m onboard_vla.ros_nodes.camera_guard --ros-args ...`."""

if __name__ == "__main__":
    import sys

    from onboard_vla.core.early_exit import end_cleanly_when_told

    end_cleanly_when_told()

    import yaml

    from onboard_vla.ros_nodes.node_main import run_node
    from onboard_vla.runtime.jpeg import decode_frame
    from onboard_vla.safety.camera_guard_host import camera_guard_role

    sys.exit(run_node(camera_guard_role(yaml.compose, decode_frame)))
