"""A small SoundStream for tests: the starting transform, codebooks fitted to real speech, nothing trained."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
from codecbench.bench.audio import read, resample
from codecbench.corpora import registry as corpora


@functools.cache
def speech(seconds=10.0):
    """float32 [n] at 24 kHz: embedded clips of several speakers in a row."""
    parts, length = [], 0
    for item in corpora.get("speech").items(None):
        parts.append(resample(read(item.path, item.start, 2.0), 24000).samples[0])
        length += len(parts[-1])
        if length >= seconds * 24000:
            break
    return np.concatenate(parts)[: round(seconds * 24000)]


@functools.cache
def model(stages=24):
    """With codebooks of 64 entries; so many dimensions that 24 stages do not code them down to the rounding."""
    import torch
    from codecbench.codecs.soundstream.model import PRESETS, SoundStream

    torch.manual_seed(0)
    made = SoundStream(replace(PRESETS["tiny"], stages=stages, dimension=40)).eval().requires_grad_(False)
    with torch.random.fork_rng():
        made.quantizer.fit(made.encoder(torch.from_numpy(speech())[None, None]), iterations=3)
    return made
