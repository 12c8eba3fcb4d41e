"""The camera guard process over ZeroMQ: `python -m onboard_vla.hil.camera_guard --endpoints DIR ...`."""

if __name__ == "__main__":
    import sys

    from onboard_vla.core.early_exit import end_cleanly_when_told

    end_cleanly_when_told()

    import yaml

    from onboard_vla.hil.process import run
    from onboard_vla.runtime.jpeg import decode_frame
    from onboard_vla.safety.camera_guard_host import camera_guard_role

    sys.exit(run(camera_guard_role(yaml.compose, decode_frame)))
