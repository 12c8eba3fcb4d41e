"""Float exports at full size are judged on the weights that lie in their files, not on the checkpoint's own."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.errors import BundleError
from onboard_vla.export import source
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.graph import GraphWriter
from onboard_vla.export.large_export import LargeExport
from onboard_vla.export.linear_layers import FloatLinears, HalfLinears
from onboard_vla.export.source import GOLDEN, Source
from onboard_vla.export.weights import CheckpointWeights, Linear
from onboard_vla.export.written_weights import WrittenWeights


@pytest.fixture
def opened(reference_checkpoint, monkeypatch):
    monkeypatch.setattr(source, "LARGE_WEIGHTS", 0)
    return Source.open(reference_checkpoint)


@pytest.fixture
def one_scene(reference_checkpoint, tmp_path):
    with np.load(reference_checkpoint / GOLDEN.file) as archive:
        np.savez(tmp_path / "one.npz", **{name: archive[name][:1] for name in archive.files})
    return tmp_path / "one.npz"


@pytest.mark.parametrize(("writer", "kind"), [(FloatLinears, np.float32), (HalfLinears, np.float16)])
def test_what_is_read_of_graph_files_is_what_was_written(opened, tmp_path, writer, kind):
    opened.write_graphs(tmp_path, opened.weights, writer(opened.weights), lambda _share: None)
    written = WrittenWeights([tmp_path / name for name in opened.layers()], opened.weights)
    for name in frozenset().union(*opened.layers().values()):
        expected, some = opened.weights.linear(name), slice(1, 5)
        assert written.shape(name) == expected.weight.shape
        np.testing.assert_array_equal(written.linear(name).weight, expected.weight.astype(kind), err_msg=name)
        np.testing.assert_array_equal(written.linear(name, some).weight, expected.weight[:, some].astype(kind))
        assert written.has_bias(name) == (expected.bias is not None)
        if expected.bias is not None:
            np.testing.assert_array_equal(written.linear(name, some).bias, expected.bias[some].astype(kind))
    for norm in ("text.norm", "visual.merger.ln_q"):
        np.testing.assert_array_equal(written.vector(norm), CheckpointWeights(opened.checkpoint).vector(norm))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_float_export_whose_files_hold_other_weights_is_refused(
    opened, reference_checkpoint, one_scene, tmp_path, monkeypatch, precision
):
    write = LargeExport.write_float

    def write_zeros(self):
        sizes = write(self)
        for data in self._staging.folder.glob("*.data"):
            data.write_bytes(bytes(data.stat().st_size))
        return sizes

    monkeypatch.setattr(LargeExport, "write_float", write_zeros)
    with pytest.raises(BundleError, match="too far from"):
        export_bundle(reference_checkpoint, tmp_path / "bundle", precision=precision, golden_scenes=one_scene)


class Same:
    """A layer of one weight."""

    def __init__(self, value):
        self.value = value

    def shape(self, _name):
        return 1, 1

    def has_bias(self, _name):
        return False

    def linear(self, _name, _outputs=None):
        return Linear(np.full((1, 1), self.value, np.float32), None)


def test_a_layer_that_two_graphs_hold_differently_is_refused(tmp_path):
    paths = []
    for value in (1.0, 1.0, 2.0):
        graph = GraphWriter("g", FloatLinears(Same(value)))
        graph.output(graph.linear(graph.input("x", (1, 1)), "layer"), "y", (1, 1))
        paths.append(tmp_path / f"{len(paths)}.onnx")
        graph.save(paths[-1])
    assert WrittenWeights(paths[:2], Same(1.0)).linear("layer").weight == 1
    with pytest.raises(BundleError, match=r"layer\.weight is not the same in all graphs"):
        WrittenWeights(paths, Same(1.0)).linear("layer")
    with pytest.raises(BundleError, match=r"other\.weight is in none of the graphs"):
        WrittenWeights(paths, Same(1.0)).linear("other")
