"""The safety supervisor process over ZeroMQ: `python -m onboard_vla.hil.safety_supervisor --endpoints DIR ...`."""

if __name__ == "__main__":
    import sys

    from onboard_vla.core.early_exit import end_cleanly_when_told

    end_cleanly_when_told()

    import yaml

    from onboard_vla.hil.process import run
    from onboard_vla.safety.supervisor_host import supervisor_role

    sys.exit(run(supervisor_role(yaml.compose)))
