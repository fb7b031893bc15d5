"""A committed stream decodes to committed samples, and is what its clip is coded to, with any engine and thread count:
as `bench soundstream` codes it, with silence behind the clip and without the decoder's first samples.

`python tests/test_soundstream_fixture.py` makes the two files again; do so when the weights change.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from codecbench.bench.audio import Clip, read, resample, write_flac
from codecbench.codecs.soundstream import bitstream, packaged
from codecbench.corpora import registry as corpora

STREAM = Path(__file__).parent / "data" / "soundstream.sstr"
DECODED = STREAM.with_suffix(".flac")
STAGES = 8

pytestmark = pytest.mark.skipif(not packaged.WEIGHTS.exists(), reason="no packaged weights")


def samples():
    """Two seconds of an embedded clip in the public domain, float32 [n] at 24 kHz."""
    item = next(one for one in corpora.get("speech").items(None) if one.speaker == "librivox")
    return resample(read(item.path, item.start, 2.0), bitstream.RATE).samples[0]


def padded():
    return np.pad(samples(), (0, bitstream.DELAY))


def heard(decoded):
    """Of a decoder's output what is the clip."""
    return decoded[bitstream.DELAY :][: samples().size].clip(-1, 1)


@pytest.fixture(scope="module")
def model():
    from codecbench.codecs.soundstream.model import load

    return load()


@pytest.fixture(scope="module")
def codes():
    header, codes = bitstream.from_bytes(STREAM.read_bytes())
    header.need(packaged.model_id())
    return codes[:, 0]


@pytest.fixture(params=[1, 2])
def threads(request):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_the_clip_is_coded_to_the_stream(model, codes, threads):
    from codecbench.codecs.soundstream.streaming import encode

    assert np.array_equal(encode(model, padded(), STAGES), codes)


def test_the_stream_decodes_to_the_samples(model, codes, threads):
    """Within 1e-4, of which rounding to 16 bits is 1.5e-5."""
    from codecbench.codecs.soundstream.streaming import decode

    assert np.abs(heard(decode(model, codes)) - read(DECODED).samples[0]).max() < 1e-4


def test_torch_decodes_to_the_samples(model, codes, threads):
    import torch

    decoded = model.decode(torch.from_numpy(codes.astype(np.int64)).T[None])[0, 0].numpy()
    assert np.abs(heard(decoded) - read(DECODED).samples[0]).max() < 1e-4


if __name__ == "__main__":
    from codecbench.codecs.soundstream import streaming
    from codecbench.codecs.soundstream.model import load

    made = streaming.encode(load(), padded(), STAGES)
    STREAM.write_bytes(
        bitstream.to_bytes(bitstream.Header(packaged.model_id(), STAGES, 1, samples().size), made[:, None])
    )
    write_flac(DECODED, Clip(heard(streaming.decode(load(), made))[None], bitstream.RATE))
