"""Builds the ament packages with nothing but wheels: no ROS 2 distribution is installed where the tests run.

`python tests/ros_nodes/build_packages.py messages ENVIRONMENT` installs onboard_vla_msgs into an environment.
`python tests/ros_nodes/build_packages.py colcon ENVIRONMENT` builds both packages as an integrator does, in a colcon
workspace below the environment (`ENVIRONMENT/workspace/install`).
An environment without the wheels is left as it is, with one line that says so.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PACKAGES = Path(__file__).resolve().parents[2] / "ros_nodes"
MESSAGES = "onboard_vla_msgs"
INTERPRETER = "import numpy, sysconfig; print(sysconfig.get_paths()['include'], numpy.get_include(), sep='\\n')"
"""The two folders that the wheels name by where they lay on the machine that built them."""
BAKED_IN = (
    re.compile(r"/opt/python/cp\d+-cp\d+/include/python\d\.\d+"),
    re.compile(r"/opt/python/cp\d+-cp\d+/lib/python\d\.\d+/site-packages/numpy/_?core/include"),
)
STARTER = ("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")
"""Variables of the calling environment that would break another one."""


def main(arguments: list[str]) -> int:
    what, environment = arguments[0], Path(arguments[1]).resolve()
    if not list(environment.glob("share/rosidl_default_generators")):
        sys.stderr.write(
            f"{environment} has no message generators (wheels are for x86-64, Python 3.10 to 3.13): nothing is built\n"
        )
        return 0
    mend_paths(environment)
    if what == "messages":
        build = environment / "build" / MESSAGES
        configure = ["cmake", "-S", PACKAGES / MESSAGES, "-B", build, f"-DCMAKE_INSTALL_PREFIX={environment}"]
        run(environment, *configure, *cmake_arguments(environment))
        run(environment, "cmake", "--build", build, "--target", "install")
    else:
        workspace = environment / "workspace"
        folders = [f"--{name}-base={workspace / name}" for name in ("build", "install")]
        arguments = ["build", "--base-paths", PACKAGES, *folders, "--cmake-args", *cmake_arguments(environment)]
        run(environment, "colcon", f"--log-base={workspace / 'log'}", *arguments)
    return 0


def mend_paths(environment: Path) -> None:
    """Point the wheels' CMake files to this machine's headers of Python and NumPy."""
    folders = output(environment, "python", "-c", INTERPRETER).split("\n")[:2]
    for file in environment.glob("share/*/cmake/*.cmake"):
        text = mended = file.read_text(encoding="utf-8")
        for pattern, folder in zip(BAKED_IN, folders, strict=True):
            mended = pattern.sub(folder, mended)
        if mended != text:
            file.write_text(mended, encoding="utf-8")


def cmake_arguments(environment: Path) -> list[str]:
    python = ["Python3_FIND_VIRTUALENV=ONLY", f"Python3_ROOT_DIR={environment}"]
    return ["-GNinja", "-DBUILD_TESTING=OFF", *(f"-D{definition}" for definition in python)]


def variables(environment: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in STARTER}
    path = os.pathsep.join((str(environment / "bin"), str(Path(sys.executable).parent), own["PATH"]))
    prefix = str(environment)
    return {**own, "PATH": path, "AMENT_PREFIX_PATH": prefix, "CMAKE_PREFIX_PATH": prefix, "VIRTUAL_ENV": prefix}


def run(environment: Path, *command: str | Path) -> None:
    done = subprocess.run(command, env=variables(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")


def output(environment: Path, *command: str) -> str:
    return subprocess.run(command, env=variables(environment), capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
