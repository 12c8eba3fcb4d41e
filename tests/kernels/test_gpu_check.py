"""The GPU check through a driver without a GPU: it passes what is equal, and finds what is not."""

from __future__ import annotations

import json
import shutil

import pytest

from onboard_vla.core.errors import EngineError
from onboard_vla.kernels import gpu_check
from onboard_vla.kernels.gpu_cases import CASES, TIMED
from onboard_vla.kernels.gpu_check import DIFFERS, NO_GPU, compare, main
from onboard_vla.kernels.gpu_timing import Timings
from onboard_vla.kernels.launch_driver import DriverDevice
from onboard_vla.kernels.layouts import KERNELS
from onboard_vla.kernels.numpy_forms import NumpyForms

from .fake_driver import counts

SHAPES = 3


@pytest.fixture
def options(fake, binary, library):
    return [
        *("--driver", fake, "--host-library", str(library.path), "--fat-binary", str(binary.path)),
        *("--shapes", str(SHAPES), "--repetitions", "0", "--no-sanitizer"),
    ]


def test_equal_kernels_pass_and_the_report_says_on_what(options, tmp_path, capsys):
    assert main([*options, "--json", str(tmp_path / "report.json")]) == 0

    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["device"], report["capability"], report["driver_cuda"]) == ("fake GPU 0", "9.0", "13.0")
    assert {kernel: found["equal"] for kernel, found in report["kernels"].items()} == dict.fromkeys(KERNELS, SHAPES)
    assert capsys.readouterr().out.count("3 of 3 shapes equal to the bit") == len(KERNELS)


def test_under_a_tool_arrays_have_no_bands_and_results_are_not_filled(options, fake, monkeypatch):
    """Memcheck would take a band for the array's own memory, initcheck the filling for the kernel's result."""
    given, filled = [], []
    allocate, copy = DriverDevice.allocate, DriverDevice.to_device

    def allocating(device, size):
        given.append((allocate(device, size), size))
        return given[-1][0]

    def copying(device, address, array, stream):
        filled.append((address, array.nbytes))
        copy(device, address, array, stream)

    monkeypatch.setattr(DriverDevice, "allocate", allocating)
    monkeypatch.setattr(DriverDevice, "to_device", copying)

    assert main([*options, "--unguarded", "--shapes", "1"]) == 0

    whole = len(given)
    assert set(filled) <= set(given)
    results = {"patches": 1, "action_statistics": 1, "compose": 3, "dispersion": 6, "footprint": 2}
    assert whole - len(filled) == 2 * sum(results.values())
    given.clear(), filled.clear()
    assert main([*options, "--shapes", "1"]) == 0
    assert len(given) == len(filled) == whole


def test_without_a_gpu_there_is_one_line_and_status_3(capsys):
    assert main(["--driver", "libcuda-that-is-not-there.so.1"]) == NO_GPU

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "no CUDA driver" in said.err


def test_building_without_a_tool_is_one_line_and_status_3(options, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([*options, "--build", str(tmp_path / "built")]) == NO_GPU

    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "install CMake" in said


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")
def test_from_a_checkout_the_kernels_are_built_first(fake, tmp_path, capsys):
    built = str(tmp_path / "built")
    assert main(["--driver", fake, "--build", built, "--shapes", "1", "--repetitions", "0", "--no-sanitizer"]) == 0
    assert capsys.readouterr().out.count("1 of 1 shapes equal to the bit") == len(KERNELS)


def test_what_runs_under_a_tool_takes_what_was_built_and_builds_nothing(
    options, library, binary, tmp_path, monkeypatch
):
    ran = []
    monkeypatch.setattr(gpu_check, "build", lambda folder: (library.path, binary.path))
    monkeypatch.setattr(gpu_check, "sanitize", lambda command: ran.append(command) or {})
    given = [option for option in options if option != "--no-sanitizer"]
    assert main([*given, "--build", "here", "--json", str(tmp_path / "report.json")]) == 0

    (command,) = ran
    assert not {"--build", "here", "--json"} & set(command)
    assert command[-8:-3] == ["--fat-binary", str(binary.path), "--shapes", "2", "--repetitions"]


def test_a_kernel_that_gives_other_bits_on_the_device_is_named(options, build, monkeypatch, capsys):
    """The device's library has a planted fault in kernel 3, the host's has none."""
    monkeypatch.setenv("FAKE_CUDA_HOST_LIBRARY", str(build("planted", "-O1", "-DOVK_PLANT_MISSING_BARRIER")))

    assert main(options) == DIFFERS

    lines = [line for line in capsys.readouterr().out.splitlines() if "shape 0: result 3" in line]
    assert [line.split()[0] for line in lines] == ["dispersion"]


def test_a_launch_that_fails_counts_as_a_difference(library):
    class Failing(NumpyForms):
        def run(self, *arguments, **options):
            raise EngineError("compose wrote beside an array")

    found = compare("compose", library, Failing(), SHAPES)

    assert found == {"shapes": SHAPES, "equal": 0, "first_difference": "shape 0: compose wrote beside an array"}


def test_every_kernel_has_random_shapes_and_equal_seeds_give_equal_calls(library):
    assert set(CASES) == set(KERNELS)
    for kernel in CASES:
        assert compare(kernel, library, library, SHAPES)["equal"] == SHAPES


def test_times_come_from_events_around_launches_and_around_replays(fake, gpu):
    """Two milliseconds lie between two events of the fake driver, ten launches in a graph."""
    timings = Timings(gpu, fake, repetitions=2)
    before = counts(fake)

    found = gpu_check.times(timings)

    assert set(found) == {"copy_bytes_per_s", *TIMED}
    assert found["copy_bytes_per_s"] == pytest.approx(2 * (256 << 20) / 2e-3)
    for name in TIMED:
        assert found[name]["launch_us"] == pytest.approx(2000)
        assert found[name]["graph_us"] == pytest.approx(200)
        assert found[name]["graph_over_floor"] == pytest.approx(200 / found[name]["floor_us"])
    after = counts(fake)
    assert after["launches"] - before["launches"] == len(TIMED) * 4 * (1 + 10)
    assert (after["memory"], after["graphs"], after["events"]) == (0, 0, 0)


@pytest.mark.parametrize(("status", "says"), [(0, "clean"), (9, "status 9: ========= ERROR SUMMARY: 1 error")])
def test_each_tool_of_the_sanitizer_is_asked_and_its_errors_are_told(tmp_path, monkeypatch, status, says):
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(
        f'#!/bin/sh\necho "$2" >> {tmp_path}/asked\necho "========= ERROR SUMMARY: 1 error"\nexit {status}\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    found = gpu_check.sanitize(["true"])

    assert found == dict.fromkeys(gpu_check.TOOLS, says)
    assert (tmp_path / "asked").read_text().split() == list(gpu_check.TOOLS)


def test_a_sanitizer_that_is_not_installed_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(gpu_check.sanitize(["true"]).values()) == {"not run: no compute-sanitizer on PATH"}
