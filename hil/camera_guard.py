"""The camera guard process over ZeroMQ: `python -m onboard_vla.hil.camera_guard --endpoints DIR ...`."""

if __name__ == "__main__":
    import sys

    from onboard_vla.core.early_exit import end_cleanly_when_told

    end_cleanly_when_told()

    from onboard_vla.hil.process import run
    from onboard_vla.safety.camera_guard_host import CAMERA_GUARD_ROLE

    sys.exit(run(CAMERA_GUARD_ROLE))
