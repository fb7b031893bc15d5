"""The registry: one thing a name, found by being there."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from codecbench.bench.registry import Registry
from codecbench.codecs import registry as codecs
from codecbench.corpora import registry as corpora


@dataclass(frozen=True)
class Thing:
    name: str


def test_refuses_a_name_that_is_taken():
    registry: Registry[Thing] = Registry("thing", "codecbench.bench.suites")
    registry.register(Thing("a"))
    with pytest.raises(ValueError, match="'a' is registered twice"):
        registry.register(Thing("a"))
    assert registry.names() == ["a"]


def test_unknown_name_is_told_the_nearest():
    with pytest.raises(KeyError, match="did you mean opus"):
        codecs.get("opsu")
    registry: Registry[Thing] = Registry("thing", "codecbench.bench.suites")
    registry.register(Thing("a"))
    with pytest.raises(KeyError, match="there are: a"):
        registry.get("zzzzzzz")


def test_what_ships_is_found():
    assert {"opus", "opus_vbr", "mp3", "aac", "amr_nb", "amr_wb", "evs", "pcm", "lowpass", "mnru"} <= set(
        codecs.names()
    )
    assert {"speech", "music", "librispeech"} <= set(corpora.names())
    assert "opus" in codecs
    assert "nothing" not in codecs


def test_a_broken_entry_point_is_noted_and_the_rest_goes_on(monkeypatch):
    class Broken:
        name = "theirs"

        def load(self):
            raise ImportError("no such library")

    monkeypatch.setattr("codecbench.bench.registry.entry_points", lambda group: [Broken()])
    registry: Registry[Thing] = Registry("thing", "codecbench.bench.suites")
    assert registry.names() == []
    assert registry.broken == {"theirs": "ImportError: no such library"}
