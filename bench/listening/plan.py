"""What is listened to, and in which order.

`draw` makes the order of one session from what `material.gather` found in the run. A session keeps its whole plan, so
that it goes on unchanged whatever the run becomes.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: signals in a MUSHRA trial besides the labelled reference (BS.1534-3, 5.3)
MOST_CONDITIONS = 12
#: low-pass anchors of BS.1534-3, 5.1: points of the codec `lowpass`, and the lowest rate that has such a band
ANCHORS = {"3.5k": 8000, "7k": 16000}
MID_ANCHOR = "7k"
REFERENCE = "reference"


@dataclass(frozen=True)
class Condition:
    """Something to be judged. wave: its key in the cache; empty for the reference and the anchors, which are made."""

    codec: str
    point: str
    role: str  # "system", "reference" or "anchor"
    wave: str = ""


@dataclass(frozen=True)
class Clip:
    """A reference clip of the run, as its store names it; start and seconds are the part of the file."""

    corpus: str
    clip: str
    content: str
    path: str
    start: float
    seconds: float
    rate: int
    speaker: str = ""


@dataclass(frozen=True)
class Trial:
    """One page of a session. x: ABX only, which of "A" (the reference) and "B" (the codec) X is."""

    clip: Clip
    conditions: tuple[Condition, ...]
    training: bool = False
    x: str = ""


@dataclass(frozen=True)
class Material:
    """What a run offers for a test.

    Attributes
    ----------
    clips : in the order of choice: as many speakers as possible first.
    systems : codec and point by content.
    waves : (corpus, clip, codec, point) -> key in the cache.
    training : the clip that comes first and does not count; one of `clips` if there is no other.
    notes : sentences on what was chosen and left out.
    """

    clips: tuple[Clip, ...]
    systems: dict[str, tuple[tuple[str, str], ...]]
    waves: dict[tuple[str, str, str, str], str]
    training: Clip
    notes: tuple[str, ...]


def from_json(text: str) -> tuple[Trial, ...]:
    """The plan of a session from the store's JSON."""

    def trial(data: dict[str, Any]) -> Trial:
        conditions = tuple(Condition(**condition) for condition in data["conditions"])
        return Trial(Clip(**data["clip"]), conditions, data["training"], data["x"])

    return tuple(trial(data) for data in json.loads(text))


def evenly(items: Sequence[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """So many of the items, the first and the last among them, at equal distances."""
    if count >= len(items):
        return list(items)
    step = (len(items) - 1) / max(1, count - 1)
    return [items[round(i * step)] for i in range(count)]


def spread(clips: Sequence[Clip], seed: int) -> list[Clip]:
    """The clips in an order in which contents and speakers take turns; the same one for the same seed."""
    rng = random.Random(seed)
    contents: dict[str, dict[str, deque[Clip]]] = defaultdict(lambda: defaultdict(deque))
    for clip in rng.sample(list(clips), len(clips)):
        contents[clip.content][clip.speaker or f"{clip.corpus}/{clip.clip}"].append(clip)
    queues = deque(deque(_turns(deque(speakers.values()))) for _, speakers in sorted(contents.items()))
    return list(_turns(queues))


def _turns(queues: deque[deque[Clip]]) -> list[Clip]:
    taken = []
    while queues:
        queue = queues.popleft()
        taken.append(queue.popleft())
        if queue:
            queues.append(queue)
    return taken


def draw(material: Material, method: str, seed: int, repeats: int = 10) -> tuple[Trial, ...]:
    """The trials of one session, training first, then all in random order; deterministic for a seed.

    Parameters
    ----------
    repeats : ABX trials a codec and point; the clips take turns.
    """
    rng = random.Random(seed)
    build = {"mushra": _mushra, "abx": _abx, "acr": _acr}[method]
    training, trials = build(material, rng, repeats)
    rng.shuffle(trials)
    return (*training, *trials)


def _systems(material: Material, clip: Clip) -> list[Condition]:
    return [
        Condition(codec, point, "system", material.waves[clip.corpus, clip.clip, codec, point])
        for codec, point in material.systems[clip.content]
    ]


def _mushra(material: Material, rng: random.Random, _: int) -> tuple[list[Trial], list[Trial]]:
    def trial(clip: Clip, training: bool) -> Trial:
        anchors = [Condition("lowpass", label, "anchor") for label, least in ANCHORS.items() if clip.rate >= least]
        conditions = [Condition(REFERENCE, "", "reference"), *anchors, *_systems(material, clip)]
        rng.shuffle(conditions)
        return Trial(clip, tuple(conditions), training)

    return [trial(material.training, True)], [trial(clip, False) for clip in material.clips]


def _abx(material: Material, rng: random.Random, repeats: int) -> tuple[list[Trial], list[Trial]]:
    def trial(clip: Clip, system: Condition, training: bool) -> Trial:
        return Trial(clip, (system,), training, rng.choice("AB"))

    trials = []
    for content, systems in material.systems.items():
        clips = [clip for clip in material.clips if clip.content == content]
        for number in range(len(systems) if clips else 0):
            for turn in range(repeats):
                clip = clips[turn % len(clips)]
                trials.append(trial(clip, _systems(material, clip)[number], False))
    return [trial(material.training, _systems(material, material.training)[0], True)], trials


def _acr(material: Material, rng: random.Random, _: int) -> tuple[list[Trial], list[Trial]]:
    def trial(clip: Clip, condition: Condition, training: bool) -> Trial:
        return Trial(clip, (condition,), training)

    def heard(clip: Clip) -> list[Condition]:
        return [Condition(REFERENCE, "", "reference"), *_systems(material, clip)]

    # The first presentations fix what "excellent" and "bad" mean to a listener: so the whole range, once each.
    training = [trial(material.training, condition, True) for condition in heard(material.training)]
    rng.shuffle(training)
    return training[:5], [trial(clip, c, False) for clip in material.clips for c in heard(clip)]
