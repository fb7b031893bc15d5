"""Suites: what ships can be read, what is wrong is named."""

from __future__ import annotations

import pytest
from codecbench.bench.metrics import registry as metrics
from codecbench.bench.suite import SuiteError, load_suite, shipped


@pytest.mark.parametrize("name", shipped())
def test_shipped_suites_name_what_exists(name):
    suite = load_suite(name)
    assert suite.title
    for metric in suite.metrics:
        assert metric in metrics


def test_a_codec_can_be_left_out():
    from codecbench.bench.api import resolve

    everything, less = (
        {point.codec.name for point in resolve("speech", codecs=names).points} for names in (["*"], ["*", "-opus"])
    )
    assert everything - less == {"opus"}
    with pytest.raises(SuiteError, match="cannot leave out 'opuss'"):
        resolve("speech", codecs=["*", "-opuss"])


def test_extends_takes_what_is_not_said(tmp_path):
    (tmp_path / "base.toml").write_text('extends = "speech"\nseed = 7\n[limits]\nclips = 5\n')
    (tmp_path / "mine.toml").write_text('extends = "base.toml"\ncodecs = ["opus@6"]\n[limits]\nmax_seconds = 3\n')
    suite = load_suite(str(tmp_path / "mine.toml"))
    assert suite.name == "mine"
    assert (suite.codecs, suite.seed, suite.clips, suite.max_seconds) == (("opus@6",), 7, 5, 3)
    assert suite.metrics == load_suite("speech").metrics


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("codec = ['opus']", "unknown key 'codec'"),
        ("codecs = 'opus'", "codecs is 'opus', not a list"),
        ("codecs = []", "not empty"),
        ("seed = true", "seed is True, not a int"),
        ("[limits]\nclip = 3", r"unknown key limits\.clip"),
        ("[limits]\nclips = -1", "not a whole number >= 1"),
        ("content = 'noise'", "not one of speech, music"),
        ("codecs = [", "suite .*bad.toml"),
        ("codecs = ['opus']", "'corpora' is missing"),
        ("extends = 'bad.toml'", "extends itself"),
        ("extends = 'none.toml'", "cannot be read"),
    ],
)
def test_errors_name_the_file_and_the_key(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(SuiteError, match=message):
        load_suite(str(path))


def test_unknown_name_lists_what_ships():
    with pytest.raises(SuiteError, match="there are: music, quick, speech"):
        load_suite("spech")


def test_digest_is_of_what_is_measured(tmp_path):
    (tmp_path / "a.toml").write_text('extends = "speech"\ntitle = "another title"\n')
    (tmp_path / "b.toml").write_text('extends = "speech"\nseed = 1\n')
    speech = load_suite("speech").digest()
    assert load_suite(str(tmp_path / "a.toml")).digest() == speech
    assert load_suite(str(tmp_path / "b.toml")).digest() != speech
