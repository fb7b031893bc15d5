"""Every parser reads or refuses whatever it is given; minutes of the same are `python tests/fuzz/fuzz.py`."""

from __future__ import annotations

import functools

import pytest
from fuzz.targets import TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

#: fewer where one input takes milliseconds
EXAMPLES = {"store": 25, "audio": 60}
seeds_of = functools.cache(lambda name: TARGETS[name].seeds())


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name):
    for seed in seeds_of(name):
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_changed_seeds_are_read_or_refused(name):
    @settings(deadline=None, max_examples=EXAMPLES.get(name, 150), suppress_health_check=list(HealthCheck))
    @given(st.data())
    def run(data):
        blob = bytearray(data.draw(st.sampled_from(seeds_of(name))))
        for _ in range(data.draw(st.integers(0, 4))):
            at = data.draw(st.integers(0, len(blob)))
            what = data.draw(st.one_of(st.binary(max_size=4), st.sampled_from(TOKENS)))
            blob[at : at + data.draw(st.integers(0, 8))] = what
        TARGETS[name].run(
            bytes(blob[: data.draw(st.integers(0, len(blob)))]) if data.draw(st.booleans()) else bytes(blob)
        )

    run()


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_are_read_or_refused(name):
    @settings(deadline=None, max_examples=EXAMPLES.get(name, 60), suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=300))
    def run(data):
        TARGETS[name].run(data)

    run()


#: what breaks parsers of text
TOKENS = (
    b"1e999",
    b"-1",
    b"NaN",
    b"null",
    b"[" * 2000,
    b"{}",
    b"\xff",
    b"\0",
    b'"',
    b"9" * 4400,
    b"\xe2\x80\xa8",
    b"\r",
)
