"""Which form of the kernels runs: a GPU that gives the host's bits, else the built host library, else NumPy."""

from __future__ import annotations

import ctypes
import logging
import os
from functools import lru_cache
from pathlib import Path

from onboard_vla.core.errors import ConfigurationError, EnvironmentLacksError
from onboard_vla.kernels.host_library import HostLibrary, built_file, host_library
from onboard_vla.kernels.launch_driver import LIBRARY
from onboard_vla.kernels.layouts import KernelForm
from onboard_vla.kernels.numpy_forms import NumpyForms

VARIABLE = "ONBOARD_VLA_KERNELS"
"""Environment variable that asks for one form: `gpu`, `host` or `numpy`."""
FORMS = ("gpu", "host", "numpy")
FATBIN = "onboard_vla_kernels.fatbin"


def kernel_form(name: str | None = None) -> KernelForm:
    """The form called `name`, else the one that `VARIABLE` asks for, else the fastest that this machine has.

    A GPU that is there and is not used says why, once, as a warning.

    Raises:
        ConfigurationError: there is no form of that name.
        EnvironmentLacksError: what was asked for is not there, or does not fit these sources.
    """
    asked = name or os.environ.get(VARIABLE) or "fastest"
    if asked not in ("fastest", *FORMS):
        raise ConfigurationError(f"form of the kernels {asked!r} ({VARIABLE}): expected gpu, host or numpy")
    if asked == "gpu":
        form = gpu()
        if isinstance(form, EnvironmentLacksError):
            raise form
        return form
    if asked == "fastest" and fat_binary() is not None and driver_loads():
        form = gpu()
        if not isinstance(form, EnvironmentLacksError):
            return form
        logging.getLogger(__name__).warning("%s: kernels run on the processor", form)
    library = None if asked == "numpy" else host_library()
    if library is None and asked == "host":
        raise EnvironmentLacksError(
            "host kernels: this installation has no library; install a C++ compiler and install again, "
            f"or leave {VARIABLE} unset for NumPy"
        )
    return library or NumpyForms()


def on_processor(form: KernelForm) -> HostLibrary | None:
    """What computes beside `form` where the data lie in the processor's memory; None: NumPy."""
    if isinstance(form, NumpyForms | HostLibrary):
        return form if isinstance(form, HostLibrary) else None
    return host_library()


@lru_cache(maxsize=1)
def gpu() -> KernelForm | EnvironmentLacksError:
    """This process's GPU, opened and compared once; or why there is none."""
    from onboard_vla.kernels.gpu_form import proven_gpu

    try:
        return proven_gpu(host_library())
    except EnvironmentLacksError as error:
        return error


def driver_loads() -> bool:
    """Whether this machine has a CUDA driver; where none is, nobody wants to hear of GPUs."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


def fat_binary() -> Path | None:
    """The GPU code that this installation built, or None where it had no nvcc."""
    return built_file(FATBIN)
