"""Copies on the device become few; what lies where is what the caller wrote."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard_vla.core.errors import EngineError
from onboard_vla.runtime.device_tensors import DeviceTensors, joined
from onboard_vla.runtime.kv_cache import KvCache

from .fake_gpu import FakeGpu


def expanded(joint):
    return [
        (to + i * to_pitch, source + i * source_pitch, width)
        for to, to_pitch, source, source_pitch, width, rows in joint
        for i in range(rows)
    ]


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 3)).map(lambda m: (m[0] * 4, m[1] * 4, m[2]))
    )
)
def test_joined_copies_are_the_same_copies_in_order(moves):
    found = joined(moves)
    assert expanded(found) == moves
    assert all(width <= min(to_pitch, source_pitch) for _, to_pitch, _, source_pitch, width, _ in found)


def test_keys_and_values_of_all_layers_are_one_copy():
    gpu = FakeGpu()
    tensors, cache = DeviceTensors(gpu, gpu.new_stream()), KvCache(5, 32, 2, 16)
    tensors.keep(cache.block)
    cache.advance(3)
    room = cache.room(2)
    tensors.fetch(tensors.placement({}, room))
    assert gpu.calls.count("copy_rows") == 1


def test_what_is_written_to_a_kept_array_is_there_for_later_reads():
    gpu = FakeGpu()
    tensors, array = DeviceTensors(gpu, gpu.new_stream()), np.ones((8, 64), np.float32)
    tensors.keep(array)
    written = tensors.placement({}, {"x": array[3:5]})
    gpu.to_device(written.outputs[0].address, np.full((2, 64), 7, np.float32), tensors.stream)
    tensors.fetch(written)
    reading = tensors.placement({"x": array[2:6]}, {})
    tensors.feed(reading)
    (read,) = reading.inputs
    found = np.empty((4, 64), np.float32)
    gpu.to_host(found, read.address, tensors.stream)
    assert found[:, 0].tolist() == [0, 7, 7, 0]
    assert (array == 1).all()
    tensors.close()
    assert not gpu.memory


def test_an_array_with_gaps_cannot_live_there():
    gpu = FakeGpu()
    with pytest.raises(EngineError, match="not contiguous"):
        DeviceTensors(gpu, gpu.new_stream()).keep(np.ones((4, 4), np.float32)[::2])
