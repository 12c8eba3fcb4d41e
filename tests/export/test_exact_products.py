"""INT8 on processors whose usual 8-bit products may overflow: ONNX Runtime is asked for those that do not."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from onboard_vla.export.graph_session import GraphSession
from onboard_vla.runtime import processor
from onboard_vla.runtime.engine import OnnxEngine
from onboard_vla.runtime.processor import PRECISE, products_saturate

GRAPH = "vision_8x12.onnx"
INTEL_2013, AMD_ZEN_4, INTEL_2021 = "fma avx2 bmi2", "avx2 avx512_vnni", "avx2 avx_vnni"


@pytest.mark.parametrize(
    ("architecture", "cpuinfo", "saturate"),
    [
        ("x86_64", f"model name\t: avx_vnni\nflags\t\t: {INTEL_2013}\n", True),
        ("x86_64", f"flags\t\t: {AMD_ZEN_4}\n", False),
        ("x86_64", f"flags\t\t: {INTEL_2021}\n", False),
        ("x86_64", "flags : avx512f amx_int8\n", False),
        ("x86_64", None, True),
        ("AMD64", None, True),
        ("aarch64", "Features\t: fp asimd\n", False),
        ("aarch64", None, False),
    ],
)
def test_products_are_without_loss_where_the_processor_says_so(architecture, cpuinfo, saturate):
    assert products_saturate(architecture, cpuinfo) == saturate


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Makes the processor one of other flags; returns what sessions have been asked for since."""

    def become(flags):
        entries, original = [], onnxruntime.InferenceSession

        def session(source, options, **form):
            try:
                entries.append(options.get_session_config_entry(PRECISE[0]))
            except RuntimeError:
                entries.append(None)
            return original(source, options, **form)

        (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n")
        monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
        monkeypatch.setattr(processor.platform, "machine", lambda: "x86_64")
        monkeypatch.setattr(onnxruntime, "InferenceSession", session)
        return entries

    return become


@pytest.mark.parametrize("opened", [OnnxEngine, GraphSession], ids=["planner", "exporter"])
@pytest.mark.parametrize(("flags", "entry"), [(INTEL_2013, "1"), (AMD_ZEN_4, None)], ids=["without", "with"])
def test_sessions_are_asked_for_exact_products_where_the_usual_ones_overflow(asked, int8_bundle, opened, flags, entry):
    entries = asked(flags)
    opened(int8_bundle / GRAPH)
    assert entries == [entry]


@pytest.mark.skipif(processor.products_saturate("x86_64", processor.CPUINFO.read_text()), reason="needs VNNI or AMX")
def test_exact_products_are_those_of_a_processor_that_does_not_overflow(asked, int8_bundle):
    patches = np.random.default_rng(0).normal(size=(2, 96, 1176)).astype(np.float32)
    expected = GraphSession(int8_bundle / GRAPH).run({"patches": patches})
    assert asked(INTEL_2013) == []
    found = GraphSession(int8_bundle / GRAPH).run({"patches": patches})
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
