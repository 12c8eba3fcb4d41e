"""Launches through a driver without a GPU that runs kernels on the host: the same bits, and what it is strict about."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from onboard_vla.core.errors import EngineError, EnvironmentLacksError
from onboard_vla.kernels.device_form import DeviceForm
from onboard_vla.kernels.launch import FatBinary, GpuKernels
from onboard_vla.kernels.launch_driver import DriverDevice
from onboard_vla.kernels.layouts import ComposeArguments, FootprintArguments

from .exercise import outputs
from .fake_driver import counts


def test_every_kernel_gives_the_hosts_bits_and_everything_is_given_back(fake, binary, library):
    device = DriverDevice(library=fake)
    before = counts(fake)["launches"]

    found = outputs(DeviceForm(GpuKernels(device, binary)), False)

    assert counts(fake)["launches"] - before == 12 + 6 + 3
    wanted = outputs(library, False)
    assert [a.tobytes() for a in found] == [a.tobytes() for a in wanted]
    assert counts(fake)["memory"] == 0
    device.close()
    assert [counts(fake)[name] for name in ("streams", "modules", "contexts")] == [0, 0, 0]


def test_a_device_says_what_it_is(device):
    assert (device.name, device.capability, device.driver_cuda) == ("fake GPU 0", (9, 0), (13, 0))


def test_without_a_driver_one_line_says_so():
    with pytest.raises(EnvironmentLacksError, match="no CUDA driver"):
        DriverDevice(library="libcuda-that-is-not-there.so.1")


def test_a_gpu_that_is_not_there_is_named(fake):
    with pytest.raises(EnvironmentLacksError, match=r"no GPU 3: .*INVALID_DEVICE"):
        DriverDevice(3, fake)


def test_pycuda_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pycuda", None)
    from onboard_vla.kernels.launch_pycuda import PycudaDevice

    with pytest.raises(EnvironmentLacksError, match="pycuda does not load"):
        PycudaDevice()


def tokens_on(device, stream, count=4):
    """Device arguments of `count` samples of two tokens, and where the result goes."""
    arrays = np.zeros((count, 2), np.int32), np.ones((3, 5, 5), np.float32)
    addresses = [device.allocate(array.nbytes) for array in arrays]
    for address, array in zip(addresses, arrays, strict=True):
        device.to_device(address, array, stream)
    device.synchronise(stream)
    results = [device.allocate(count * size) for size in (24, 200, 4)]
    return ComposeArguments(*addresses, *results, count, 2, 5, 3), [*addresses, *results]


def test_nothing_happens_before_the_stream_that_a_launch_is_on_is_waited_for(device, gpu):
    stream, other = device.new_stream(), device.new_stream()
    arguments, memory = tokens_on(device, stream)
    invalid = np.zeros(4, np.int32)

    gpu.prepare("compose", arguments, 4).launch(stream)

    device.to_host(invalid, memory[-1], other)
    assert set(invalid) == {-1}  # device memory begins as 0xFF
    device.to_host(invalid, memory[-1], stream)
    assert set(invalid) == {0}
    for address in memory:
        device.free(address)


def test_a_host_address_among_the_arguments_is_refused(device, gpu):
    stream = device.new_stream()
    arguments, memory = tokens_on(device, stream)
    mine = np.zeros(4, np.int32)
    arguments.invalid = mine.ctypes.data

    with pytest.raises(EngineError, match="ILLEGAL_ADDRESS"):
        gpu.prepare("compose", arguments, 4).launch(stream)
    for address in memory:
        device.free(address)


def test_a_stream_that_is_none_is_refused(device, gpu):
    stream = device.new_stream()
    arguments, memory = tokens_on(device, stream)
    with pytest.raises(EngineError, match="INVALID_HANDLE"):
        gpu.prepare("compose", arguments, 4).launch(12345)
    for address in memory:
        device.free(address)


def test_another_kernels_arguments_are_refused(gpu):
    with pytest.raises(TypeError, match="FootprintArguments"):
        gpu.prepare("compose", FootprintArguments(), 1)


def test_a_driver_that_is_given_too_few_bytes_refuses(device, gpu):
    launch = gpu.prepare("compose", ComposeArguments(), 1)
    with pytest.raises(EngineError, match="INVALID_VALUE"):
        device.launch(launch.function, 1, launch.threads, launch.arguments[:-8], device.new_stream())


def test_memory_that_there_is_not_is_an_error_of_the_engine(device):
    with pytest.raises(EngineError, match="OUT_OF_MEMORY"):
        device.allocate(1 << 60)


def test_a_copy_of_a_part_of_an_array_is_refused(device):
    with pytest.raises(ValueError, match="contiguous"):
        device.to_device(0, np.zeros((4, 4))[:, ::2], device.new_stream())


@pytest.mark.parametrize(
    ("capability", "version", "says"),
    [
        ("90", "13000", None),
        ("87", "13020", None),
        ("89", "13000", "sm_89"),
        ("86", "13000", "sm_86"),
        ("100", "13000", "sm_100"),
        ("87", "12060", "CUDA 12.6"),
    ],
)
def test_code_is_chosen_by_compute_capability_and_never_compiled_by_the_driver(
    fake, binary, monkeypatch, capability, version, says
):
    monkeypatch.setenv("FAKE_CUDA_CAPABILITY", capability)
    monkeypatch.setenv("FAKE_CUDA_VERSION", version)
    device = DriverDevice(library=fake)
    if says is None:
        GpuKernels(device, binary)
    else:
        with pytest.raises(EnvironmentLacksError, match=says):
            GpuKernels(device, binary)
    device.close()


@pytest.mark.parametrize(
    ("capability", "fits"),
    [((8, 0), True), ((8, 6), True), ((8, 7), False), ((8, 9), True), ((9, 0), False), ((7, 5), False)],
)
def test_code_for_a_desktop_gpu_runs_on_newer_minors_and_not_on_tegra(binary, capability, fits):
    """CUDA C++ Programming Guide, "Binary Compatibility": not between desktop and Tegra."""
    code = FatBinary(binary.path, (13, 0), ((8, 0),))
    device = SimpleNamespace(name="GPU", capability=capability, driver_cuda=(13, 0))
    if fits:
        code.check(device)
    else:
        with pytest.raises(EnvironmentLacksError, match="has code for sm_80"):
            code.check(device)


def test_what_is_captured_runs_when_it_is_launched_and_not_before(device, fake):
    stream, rows = device.new_stream(), np.arange(12, dtype=np.float32).reshape(3, 4)
    source, to = device.allocate(rows.nbytes), device.allocate(2 * rows.nbytes)
    device.zero(to, 2 * rows.nbytes, stream)
    device.to_device(source, rows, stream)
    device.synchronise(stream)
    device.begin_capture(stream)
    device.copy_rows(to + 16, 32, source, 16, 16, 3, stream)
    graph = device.end_capture(stream)
    found = np.empty((3, 8), np.float32)
    device.to_host(found, to, stream)
    assert not found.any()
    for _ in range(2):
        device.launch_graph(graph, stream)
        device.to_host(found, to, stream)
        np.testing.assert_array_equal(found, np.hstack([np.zeros((3, 4)), rows]))
    assert counts(fake)["graphs"] == 1
    with pytest.raises(EngineError, match="INVALID_VALUE"):
        device.copy_rows(to, 8, source, 16, 16, 2, stream)
    for address in (source, to):
        device.free(address)


def test_a_file_that_is_no_fat_binary_is_an_error(device, binary):
    binary.path.write_bytes(b"not GPU code")
    with pytest.raises(EngineError, match="INVALID_IMAGE"):
        GpuKernels(device, binary)


@pytest.mark.parametrize("manifest", [None, "{", '{"cuda": "13.0"}', '{"cuda": "x", "architectures": []}'])
def test_a_fat_binary_without_a_manifest_is_an_error(binary, manifest):
    path = binary.path.with_suffix(".json")
    path.unlink() if manifest is None else path.write_text(manifest)
    with pytest.raises(EnvironmentLacksError, match="install again"):
        FatBinary.read(binary.path)


def test_a_write_beside_an_array_is_caught_by_its_guard_band(fake, binary, build, monkeypatch):
    planted = build("planted", "-O1", "-DOVK_PLANT_OUT_OF_BOUNDS")
    monkeypatch.setenv("FAKE_CUDA_HOST_LIBRARY", str(planted))
    device = DriverDevice(library=fake)
    form = DeviceForm(GpuKernels(device, binary))
    from onboard_vla.kernels.actions import codebook_table, compose

    with pytest.raises(EngineError, match="compose wrote beside"):
        compose(form, np.zeros((3, 2), np.int32), codebook_table(np.zeros((4, 5, 3))))
    assert counts(fake)["memory"] == 0
    device.close()
