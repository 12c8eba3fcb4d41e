"""The planner process over ZeroMQ: `python -m onboard_vla.hil.vla_planner --endpoints DIR ...`."""

if __name__ == "__main__":
    import sys

    from onboard_vla.core.early_exit import end_cleanly_when_told

    end_cleanly_when_told()

    from onboard_vla.hil.process import run
    from onboard_vla.runtime.planner_host import PLANNER_ROLE

    sys.exit(run(PLANNER_ROLE))
