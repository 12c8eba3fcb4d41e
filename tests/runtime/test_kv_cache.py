"""The KV cache hands out views, rolls back, and refuses to overflow."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.errors import EngineError
from onboard_vla.runtime.kv_cache import KvCache


@pytest.fixture
def cache():
    return KvCache(layers=2, capacity=8, kv_heads=2, head_dim=4)


def test_past_and_room_are_views_of_neighbouring_slots(cache):
    cache.advance(3)
    past, room = cache.past(), cache.room(2)
    assert set(past) == {f"past_{kind}_{i}" for kind in ("key", "value") for i in (0, 1)}
    assert set(room) == {f"new_{kind}_{i}" for kind in ("key", "value") for i in (0, 1)}
    assert past["past_key_0"].shape == (3, 2, 4)
    assert room["new_key_0"].shape == (2, 2, 4)
    assert all(view.flags.c_contiguous for view in (*past.values(), *room.values()))
    room["new_key_1"][:] = 7
    cache.advance(2)
    assert (cache.past()["past_key_1"][3:] == 7).all()
    assert np.shares_memory(cache.past()["past_key_1"], cache.keys[1])


def test_rollback_keeps_what_came_before(cache):
    for value in range(4):
        cache.room(1)["new_key_0"][:] = value
        cache.advance(1)
    cache.truncate(2)
    assert cache.length == 2
    cache.room(1)["new_key_0"][:] = 9
    cache.advance(1)
    assert [int(slot[0, 0]) for slot in cache.past()["past_key_0"]] == [0, 1, 9]


def test_an_overflow_is_refused_and_names_both_sizes(cache):
    cache.advance(6)
    with pytest.raises(EngineError, match="holds 8 tokens, 9 are needed"):
        cache.room(3)


@pytest.mark.parametrize("length", [-1, 4])
def test_rolling_back_to_what_is_not_there_is_refused(cache, length):
    cache.advance(3)
    with pytest.raises(EngineError, match="roll"):
        cache.truncate(length)
