"""Makes a planner's engines as its deployment asks for them, loads and runs them as the planner does, and ends.

`onboard-vla ros up --build-only`, and `build_only:=true` of the launch file, which runs `python -m
onboard_vla.app.ros.build_only --bundle FOLDER [--namespace NAME] [--params-file FILE ...]`. TensorRT engines that are
there, fit, and passed the parity gate are kept; others are built and judged. Exit status: 0 they are ready, 2 they
cannot be had here, with one line that says why.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from onboard_vla.core.errors import BundleError, EnvironmentLacksError, OnboardVlaError
from onboard_vla.core.installation import installation
from onboard_vla.core.process import EXIT_CONFIGURATION
from onboard_vla.core.process_graph import PLANNER
from onboard_vla.kernels.launch_driver import DriverDevice
from onboard_vla.ros_nodes.deployment import NodeStart
from onboard_vla.ros_nodes.parameter_files import node_parameters
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.engine import TENSORRT
from onboard_vla.runtime.engine_cache import EngineCache, Target
from onboard_vla.runtime.engine_choice import build_flags, engines_folder
from onboard_vla.runtime.planner_host import PLANNER_ROLE
from onboard_vla.runtime.tensorrt_module import import_tensorrt

Say = Callable[[str], None]


def make_engines(planner: NodeStart, namespace: str, say: Say) -> None:
    """Have the planner's engines ready for its next start.

    Args:
        planner: with its parameter files and what goes over them.
        namespace: of the node, which decides what sections of the files meet it.
        say: called with a line when something begins or is done.

    Raises:
        OnboardVlaError: a parameter is wrong, the bundle is damaged, or this machine cannot run the engine asked for.
    """
    begin_s = time.monotonic()
    values = node_parameters(planner, namespace)
    options = {option.name: values[option.name] for option in PLANNER_ROLE.options}
    bundle, engine = Path(str(options["bundle"])), str(options["engine"])
    if engine == TENSORRT:
        folder = str(options["engines"])
        _build_what_is_missing(bundle, Path(folder) if folder else engines_folder(bundle), say)
    PLANNER_ROLE.build(options)
    say(f"{bundle}: engine {engine} is ready after {time.monotonic() - begin_s:.1f} s")


def _build_what_is_missing(path: Path, folder: Path, say: Say) -> None:
    trt, device, bundle = import_tensorrt(), DriverDevice(), Bundle.open(path)
    try:
        # Whether unjudged ones will do is the planner's to say: building again would not change it.
        EngineCache.admitted(folder, bundle, Target.of(trt, device), build_flags(bundle), unjudged=True)
    except BundleError as error:
        say(f"builds TensorRT engines, because {' '.join(str(error).split())}")
    else:
        say(f"{folder}: engines of this bundle and this machine are there and passed the parity gate")
        return
    try:
        from onboard_vla.export.engine_build import build_engines
    except ModuleNotFoundError as error:
        raise EnvironmentLacksError(f"engines cannot be built without {error.name}: {installation('export')}") from None
    figures = build_engines(trt, path, folder, device)
    say(f"{folder}: built, and passed the parity gate over {figures.scenes} golden scenes")


def main(arguments: Sequence[str]) -> int:
    """Make the engines of one planner."""
    parser = argparse.ArgumentParser(prog="build_only", description="Make a planner's engines and end.")
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--namespace", default="")
    parser.add_argument("--params-file", action="append", default=[], type=Path)
    given = parser.parse_args(arguments)

    def say(line: str) -> None:
        sys.stderr.write(f"build_only: {line}\n")

    try:
        planner = NodeStart(PLANNER, tuple(given.params_file), {"bundle": given.bundle})
        make_engines(planner, given.namespace, say)
    except OnboardVlaError as error:
        say(" ".join(str(error).split()))
        return EXIT_CONFIGURATION
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
