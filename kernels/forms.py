"""Which form of the kernels runs: the host library where it was built, else NumPy."""

from __future__ import annotations

import os
from pathlib import Path

from onboard_vla.core.errors import ConfigurationError, EnvironmentLacksError
from onboard_vla.kernels.host_library import built_file, host_library
from onboard_vla.kernels.layouts import KernelForm
from onboard_vla.kernels.numpy_forms import NumpyForms

VARIABLE = "ONBOARD_VLA_KERNELS"
"""Environment variable that asks for one form: `host` or `numpy`."""
FATBIN = "onboard_vla_kernels.fatbin"


def kernel_form(name: str | None = None) -> KernelForm:
    """The form called `name`, else the one that `VARIABLE` asks for, else the fastest that this installation has.

    Raises:
        ConfigurationError: there is no form of that name.
        EnvironmentLacksError: the host library was asked for and was not built, or does not fit these sources.
    """
    asked = name or os.environ.get(VARIABLE) or "fastest"
    if asked not in ("fastest", "host", "numpy"):
        raise ConfigurationError(f"form of the kernels {asked!r} ({VARIABLE}): expected host or numpy")
    library = None if asked == "numpy" else host_library()
    if library is None and asked == "host":
        raise EnvironmentLacksError(
            "host kernels: this installation has no library; install a C++ compiler and install again, "
            f"or leave {VARIABLE} unset for NumPy"
        )
    return library or NumpyForms()


def fat_binary() -> Path | None:
    """The GPU code that this installation built, or None where it had no nvcc."""
    return built_file(FATBIN)
