"""The planner as a ROS 2 lifecycle node: `python -m onboard_vla.ros_nodes.vla_planner --ros-args ...`."""

if __name__ == "__main__":
    import sys

    from onboard_vla.core.early_exit import end_cleanly_when_told

    end_cleanly_when_told()

    from onboard_vla.ros_nodes.node_main import run_node
    from onboard_vla.runtime.planner_host import PLANNER_ROLE

    sys.exit(run_node(PLANNER_ROLE, lifecycle=True))
