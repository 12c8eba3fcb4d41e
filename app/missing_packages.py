"""What brings a Python package that a command needs and this machine lacks."""

from __future__ import annotations

from onboard_vla.core.installation import installation

EXTRAS = {
    "export": ("onnx", "safetensors", "ml_dtypes"),
    "world": ("numba", "matplotlib", "psutil"),
    "train": ("torch", "transformers"),
    "bags": ("rosbags",),
    "rtx": ("tensorrt_rtx",),
    "ros": ("rclpy", "rpyutils", "builtin_interfaces"),
}
"""Packages that commands import and that an extra brings; any other is one that every installation needs."""
MESSAGES = "_msgs"
"""Ends the names of ROS's message packages."""


def what_is_missing(error: ModuleNotFoundError) -> str | None:
    """In a sentence, what a command needs and how it is installed; None for a part of this project."""
    package = (error.name or "a package").split(".")[0]
    if package == "onboard_vla":
        return None
    extra = next((extra for extra, packages in EXTRAS.items() if package in packages), None)
    if package.endswith(MESSAGES) or extra == "ros":
        remedy = f"source ROS 2's setup file, or {installation('ros')}"
    else:
        remedy = installation(extra) if extra else "`onboard-vla doctor` says what is missing"
    return f"this command needs {package}, which is not installed: {remedy}"
