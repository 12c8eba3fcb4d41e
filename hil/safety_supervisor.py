"""The safety supervisor process over ZeroMQ: `python -m onboard_vla.hil.safety_supervisor --endpoints DIR ...`."""

if __name__ == "__main__":
    import sys

    from onboard_vla.core.early_exit import end_cleanly_when_told

    end_cleanly_when_told()

    from onboard_vla.hil.process import run
    from onboard_vla.safety.supervisor_host import SUPERVISOR_ROLE

    sys.exit(run(SUPERVISOR_ROLE))
