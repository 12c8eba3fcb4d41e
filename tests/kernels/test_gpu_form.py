"""The runtime's form on a GPU and its choice, through a driver that has none: the host's bits, from any thread."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from onboard_vla.core.errors import EngineError, EnvironmentLacksError
from onboard_vla.kernels import forms
from onboard_vla.kernels.actions import codebook_table, compose
from onboard_vla.kernels.forms import VARIABLE, kernel_form
from onboard_vla.kernels.gpu_form import GpuForm, open_device, proven_gpu
from onboard_vla.kernels.launch_driver import DriverDevice
from onboard_vla.kernels.layouts import KERNELS
from onboard_vla.kernels.numpy_forms import NumpyForms
from onboard_vla.kernels.one_thread import OneThread
from onboard_vla.kernels.reference_images import normalisation_table
from onboard_vla.runtime.patches import PatchMaker
from onboard_vla.runtime.uncertainty import UncertaintySignals
from onboard_vla.runtime.vision_cache import FramePair

from .exercise import outputs
from .fake_driver import counts


@pytest.fixture
def form(fake, binary):
    opened = GpuForm(lambda: DriverDevice(library=fake), binary)
    yield opened
    opened.close()


@pytest.fixture
def installed(fake, binary, library, monkeypatch, tmp_path):
    """A machine with a driver, GPU code and a host library, whose GPU nobody has opened yet."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(forms, "LIBRARY", fake)
    monkeypatch.setattr(forms, "fat_binary", lambda: binary.path)
    monkeypatch.setattr(forms, "host_library", lambda: library)
    monkeypatch.setattr("onboard_vla.kernels.launch.fat_binary", lambda: binary.path)
    monkeypatch.setattr("onboard_vla.kernels.gpu_form.DriverDevice", lambda: DriverDevice(library=fake))
    monkeypatch.setattr("onboard_vla.kernels.gpu_form.importlib.util.find_spec", lambda name: None)
    forms.gpu.cache_clear()
    yield library
    found = forms.gpu()
    if isinstance(found, GpuForm):
        found.close()
    forms.gpu.cache_clear()


def test_every_kernel_gives_the_hosts_bits_and_memory_is_kept(form, fake, library):
    wanted = [array.tobytes() for array in outputs(library, False)]
    assert [array.tobytes() for array in outputs(form, False)] == wanted
    kept = counts(fake)["memory"]
    assert [array.tobytes() for array in outputs(form, False)] == wanted
    assert counts(fake)["memory"] == kept


def test_threads_share_a_form_and_everything_is_given_back(fake, binary, library):
    form = GpuForm(lambda: DriverDevice(library=fake), binary)
    table = codebook_table(np.random.default_rng(0).uniform(-1, 1, (64, 5, 3)))
    tokens = np.random.default_rng(1).integers(0, 64, (8, 20, 10)).astype(np.int32)
    found: dict[int, bytes] = {}

    def work(index):
        found[index] = compose(form, tokens[index], table).fine.tobytes()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {index: compose(library, tokens[index], table).fine.tobytes() for index in range(8)}
    form.close()
    form.close()
    assert [counts(fake)[name] for name in ("memory", "streams", "modules", "contexts")] == [0, 0, 0, 0]
    with pytest.raises(RuntimeError, match="closed"):
        compose(form, tokens[0], table)


def test_pictures_statistics_and_trajectory_of_a_plan_are_the_hosts(form, fake, library):
    rng = np.random.default_rng(0)
    camera = SimpleNamespace(crop=(0.0, 0.1, 1.0, 1.0), width=56, height=28)
    cameras = dict.fromkeys(("front", "left", "right"), camera)
    pairs = [FramePair(role, 0, (0, 1), tuple(rng.integers(0, 256, (2, 90, 120, 3), np.uint8))) for role in cameras]
    table = normalisation_table((0.48, 0.46, 0.41), (0.27, 0.26, 0.28))
    logits = rng.standard_normal((10, 300)).astype(np.float32)
    ends = np.asfortranarray(rng.uniform(-5, 15, (256, 2)), np.float32)

    def computed(by):
        patches = np.zeros((3, 8, 1176), np.float32)
        PatchMaker(cameras, table, 2, by).write(pairs, patches)
        doubt = UncertaintySignals(by, 44, ends).of(logits, range(10))
        return [patches, doubt.spread_m, doubt.second_mass, doubt.chosen_mass, doubt.outside_mass]

    before = counts(fake)["launches"]
    on_the_device = [array.tobytes() for array in computed(form)]

    assert counts(fake)["launches"] - before == len(pairs) + 1
    assert on_the_device == [array.tobytes() for array in computed(library)]


def test_a_launch_that_the_driver_refuses_raises_in_the_caller_and_the_next_one_runs(form, library, monkeypatch):
    table, tokens = codebook_table(np.zeros((4, 5, 3))), np.zeros((3, 2), np.int32)
    with monkeypatch.context() as broken:
        broken.setattr(form, "_reserve", lambda size: None)  # no memory was made: addresses near 0
        with pytest.raises(EngineError, match="INVALID_VALUE"):
            compose(form, tokens, table)
    assert compose(form, tokens, table).poses.tobytes() == compose(library, tokens, table).poses.tobytes()


def test_on_a_machine_with_a_gpu_it_is_chosen_once_it_gave_the_hosts_bits(installed, fake):
    before = counts(fake)["launches"]

    chosen = kernel_form()

    assert isinstance(chosen, GpuForm)
    assert counts(fake)["launches"] - before == len(KERNELS) * 2 * 2  # shapes, each twice
    assert kernel_form() is chosen
    assert kernel_form("gpu") is chosen
    assert kernel_form("host") is installed
    assert isinstance(kernel_form("numpy"), NumpyForms)


def test_a_gpu_with_other_bits_is_refused_by_name_and_the_host_runs(installed, build, monkeypatch, caplog):
    planted = build("planted", "-O1", "-DOVK_PLANT_MISSING_BARRIER")
    monkeypatch.setenv("FAKE_CUDA_HOST_LIBRARY", str(planted))

    with caplog.at_level(logging.WARNING):
        assert kernel_form() is installed

    assert "dispersion on GPU fake GPU 0 differs from the host library" in caplog.text
    with pytest.raises(EnvironmentLacksError, match="dispersion"):
        kernel_form("gpu")


def test_a_gpu_whose_kernels_fault_is_refused_by_name_and_the_host_runs(installed, fake, monkeypatch, caplog):
    """After such a fault every call on the device fails, also those that give memory back."""
    monkeypatch.setenv("FAKE_CUDA_FAULT", "1")

    with caplog.at_level(logging.WARNING):
        assert kernel_form() is installed

    assert "patches on GPU fake GPU 0 differs" in caplog.text
    assert "ILLEGAL_ADDRESS" in caplog.text
    assert [counts(fake)[name] for name in ("memory", "streams", "modules", "contexts")] == [0, 0, 0, 0]


def test_a_constant_is_copied_once_and_given_back_when_it_is_garbage(form, fake, library, monkeypatch):
    copied = []
    copy = form._device.to_device
    monkeypatch.setattr(
        form._device, "to_device", lambda to, array, on: (copied.append(array.nbytes), copy(to, array, on))
    )
    table = codebook_table(np.random.default_rng(0).uniform(-1, 1, (64, 5, 3)))
    tokens = np.random.default_rng(1).integers(0, 64, (20, 10)).astype(np.int32)
    wanted = compose(library, tokens, table).fine.tobytes()
    before = counts(fake)["memory"]

    form.keep(table)
    form.keep(table)
    for _ in range(2):
        assert compose(form, tokens, table).fine.tobytes() == wanted

    assert copied == [table.nbytes, tokens.nbytes, tokens.nbytes]
    with pytest.raises(ValueError, match="read-only"):
        table[:] = 0
    other = table + 1  # another array is copied, whatever its size
    assert compose(form, tokens, other).fine.tobytes() == compose(library, tokens, other).fine.tobytes()
    kept = counts(fake)["memory"]
    del table
    compose(form, tokens, other)
    assert counts(fake)["memory"] == kept - 1 == before + 1


def test_a_part_of_an_array_is_no_constant(form):
    with pytest.raises(ValueError, match="contiguous"):
        form.keep(np.zeros((4, 4))[:, ::2])


def test_a_gpu_that_the_code_does_not_fit_is_refused_and_the_host_runs(installed, monkeypatch, caplog):
    monkeypatch.setenv("FAKE_CUDA_CAPABILITY", "86")
    with caplog.at_level(logging.WARNING):
        assert kernel_form() is installed
    assert "sm_86: kernels run on the processor" in caplog.text


def test_without_a_driver_nobody_speaks_of_gpus(installed, monkeypatch, caplog):
    monkeypatch.setattr(forms, "LIBRARY", "libcuda-that-is-not-there.so.1")
    with caplog.at_level(logging.DEBUG):
        assert kernel_form() is installed
    assert not caplog.records


def test_a_gpu_is_not_used_without_a_host_library_to_compare_with(fake, binary):
    with pytest.raises(EnvironmentLacksError, match="no host library to compare"):
        proven_gpu(None, lambda: DriverDevice(library=fake), lambda: binary)


def test_pycuda_that_does_not_load_leaves_the_driver(installed, monkeypatch, fake):
    monkeypatch.setattr("onboard_vla.kernels.gpu_form.importlib.util.find_spec", lambda name: "there")
    monkeypatch.setitem(__import__("sys").modules, "pycuda", None)
    device = open_device()
    assert isinstance(device, DriverDevice)
    device.close()


def test_one_thread_does_all_work_and_gives_results_and_errors_to_whoever_asked():
    thread = OneThread("only")
    names = {thread.call(lambda: threading.current_thread().name) for _ in range(3)}
    assert names == {"only"}
    with pytest.raises(KeyError, match="7"):
        thread.call(lambda: {}[7])
    thread.end()
