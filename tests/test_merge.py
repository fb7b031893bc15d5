"""Runs merged into one: what may be compared, what is told apart, and that no number changes."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from codecbench.bench.cli import main
from codecbench.bench.rows import ResultRow, ScoreRow
from codecbench.bench.store import Store
from codecbench.reports.frame import read, summary
from codecbench.reports.grouping import sources
from codecbench.reports.merge import Group, merge
from codecbench.reports.view import View
from made_runs import EPYC, LSD, STOI, make
from markupsafe import escape
from small_run import copy, small_run

HOSTILE = '<img src=x onerror=alert(1)> "it\'s"'


def merged(*folders: Path) -> list[Group]:
    return merge(sources(folders))


def one(*folders: Path) -> Group:
    (group,) = merged(*folders)
    return group


def points(table: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(table["codec"], table["point"], strict=True))


def numbers(table: pd.DataFrame, codec: str) -> pd.DataFrame:
    """A codec's lines of a summary, without the columns that a run may lack."""
    return table[table["codec"] == codec].reset_index(drop=True)


def test_codecs_of_two_runs_stand_together_with_the_numbers_of_each(tmp_path: Path) -> None:
    a = make(tmp_path / "a", {"opus": (6, 12), "pcm": (0,)})
    b = make(tmp_path / "b", {"mp3": (16, 32)})
    group = one(a, b)
    table = View(group.run).summary
    assert points(table) == {("opus", "6"), ("opus", "12"), ("pcm", "0"), ("mp3", "16"), ("mp3", "32")}
    for folder, codecs in ((a, ("opus", "pcm")), (b, ("mp3",))):
        for codec in codecs:
            pd.testing.assert_frame_equal(numbers(table, codec), numbers(summary(folder), codec), check_exact=True)
    assert {point: source.name for point, source in group.origin.items()} == {
        ("speech", "opus", "6"): "a", ("speech", "opus", "12"): "a", ("speech", "pcm", "0"): "a",
        ("speech", "mp3", "16"): "b", ("speech", "mp3", "32"): "b",
    }  # fmt: skip
    assert group.notes == ("Merged of 2 runs: a, b.",)
    assert View(group.run).status.level == "good"
    assert set(group.run.checks["name"]) == {"a: identity", "b: identity"}
    assert group.run.info["commands"] == ["bench run --out a", "bench run --out b"]


def test_a_single_run_stays_as_it_is(tmp_path: Path) -> None:
    a = make(tmp_path / "a", {"opus": (6,)}, timed=0.1)
    group = one(a, a, tmp_path / "." / "a")
    assert len(group.sources) == 1
    assert group.run.info == read(a).info
    pd.testing.assert_frame_equal(group.run.scores, read(a).scores)


def test_a_point_of_two_runs_counts_once_and_newer(tmp_path: Path) -> None:
    old = make(tmp_path / "old", {"opus": (6, 12)}, created="2026-01-01", timed=0.25)
    new = make(tmp_path / "new", {"opus": (6,)}, created="2026-02-01")
    for folders in ((old, new), (new, old)):
        group = one(*folders)
        assert len(group.run.results) == 16
        assert group.origin["speech", "opus", "6"].name == "new"
        assert "Counted once, as in new, though also in old: opus@6." in group.notes
        # The newer run timed nothing: what the older one timed of the same codec stays.
        assert (View(group.run).summary["time_encode_wall_rtf"] == 0.25).all()


def test_a_run_with_less_of_a_point_is_not_taken_though_newer(tmp_path: Path) -> None:
    old = make(tmp_path / "old", {"opus": (6,)}, created="2026-01-01")
    new = make(tmp_path / "new", {"opus": (6,)}, created="2026-02-01", status="interrupted")
    store = Store(new)
    with store:
        store.delete("results", {"clip": "a"})
        store.delete("scores", {"clip": "a"})
    store.close()
    group = one(old, new)
    assert group.origin["speech", "opus", "6"].name == "old"
    assert group.run.info["status"] == "interrupted (new)"
    assert View(group.run).status.level == "warn"


def test_other_results_of_what_was_made_alike_are_told(tmp_path: Path) -> None:
    a = make(tmp_path / "a", {"opus": (6,)}, created="2026-01-02")
    b = make(tmp_path / "b", {"opus": (6,)})
    store = Store(b)
    with store:
        store.put(
            [ResultRow("hand", "a", "opus", "6", "failed", "codec", "", None, None, None, None, None, None, "", 0.1)]
        )
        store.put([ScoreRow("hand", "a", "opus", "6", "stoi", None, "codec_failed", "")])
        store.put([ScoreRow("hand", "b", "opus", "6", "stoi", 0.25, "", "")])
    store.close()
    (note,) = [note for note in one(a, b).notes if "Counted once" in note]
    assert note == (
        "Counted once, as in a, though also in b: opus@6; although made alike, 2 clips have other results there."
    )


@pytest.mark.parametrize(
    ("versions", "names"),
    [
        (("lib 1.0, av 18", "lib 1.1, av 18"), {"opus (1.0)", "opus (1.1)"}),
        (("libopus libopus 1.0", "libopus libopus 1.1"), {"opus (1.0)", "opus (1.1)"}),
        (("lib 1.0, av 18", "lib 1.1, av 19"), {"opus (lib 1.0, av 18)", "opus (lib 1.1, av 19)"}),
        (("lib 1.0", "lib 1.0"), {"opus [a]", "opus [b]"}),
        (("", "lib 1.0"), {"opus [a]", "opus [b]"}),  # nothing is known of one of them
    ],
)
def test_a_codec_made_otherwise_becomes_two(tmp_path: Path, versions: tuple[str, str], names: set[str]) -> None:
    a = make(tmp_path / "a", {"opus": (6, 12)}, made="old", versions=versions[0])
    b = make(tmp_path / "b", {"opus": (6,), "mp3": (16,)}, made="new", versions=versions[1], quality=0.1)
    group = one(a, b)
    table = View(group.run).summary
    assert set(table["codec"]) == names | {"mp3"}
    old, new = sorted(names)
    for name, folder in ((old, a), (new, b)):
        mine = numbers(table, name).drop(columns="codec")
        pd.testing.assert_frame_equal(mine, numbers(summary(folder), "opus").drop(columns="codec"), check_exact=True)
    assert f"opus was not made alike: {old} of a; {new} of b." in group.notes


def test_versions_are_told_apart_at_other_points_too(tmp_path: Path) -> None:
    a = make(tmp_path / "a", {"opus": (6,)}, versions="lib 1.0")
    b = make(tmp_path / "b", {"opus": (24,)}, versions="lib 1.1")
    c = make(tmp_path / "c", {"opus": (12,)}, versions="lib 1.0")
    table = View(one(a, b, c).run).summary
    assert points(table) == {("opus (1.0)", "6"), ("opus (1.0)", "12"), ("opus (1.1)", "24")}


def test_a_name_made_of_a_version_never_meets_another_codec(tmp_path: Path) -> None:
    a = make(tmp_path / "a", {"opus": (6,)}, versions="lib 1.0")
    b = make(tmp_path / "b", {"opus": (6,), "opus (1.1)": (6,)}, versions="lib 1.1")
    table = View(one(a, b).run).summary
    assert set(table["codec"]) == {"opus (1.0)", "opus (1.1)'", "opus (1.1)"}


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"clips": "abcdefgx"}, "other speech clips: 2 of 9 differ"),
        ({"clips": "abc"}, "other speech clips: 5 of 8 differ"),
        ({"clips": "xyz"}, "other speech clips: none in common"),
        ({"hashes": {"a": "other", "b": "other"}}, "other speech clips: 2 of 8 differ"),
        ({"channels": 2}, "other speech clips: none in common"),
        ({"content": "music"}, "no content in common (music and speech)"),
        ({"metrics": [STOI | {"version": "2", "fingerprint": "s2"}]}, "STOI of another version (2, not 1)"),
        (
            {"metrics": [STOI | {"fingerprint": "s2"}]},
            "STOI computed by other code or libraries (both of version 1)",
        ),
        ({"metrics": [LSD]}, "no metric in common"),
    ],
)
def test_what_may_not_be_compared_is_a_group_of_its_own(tmp_path: Path, other: dict[str, object], reason: str) -> None:
    a = make(tmp_path / "a", {"opus": (6,)})
    b = make(tmp_path / "b", {"mp3": (16,)}, **other)  # type: ignore[arg-type]
    c = make(tmp_path / "c", {"lc3": (24,)})
    first, second = merged(a, b, c)
    assert [s.name for s in first.sources] == ["a", "c"]
    assert [s.name for s in second.sources] == ["b"]
    assert second.apart == ((1, reason),)
    assert set(first.run.points["codec"]) == {"opus", "lc3"}
    assert (first.data_hash == second.data_hash) == ("metrics" in other)


def test_a_part_of_a_file_that_starts_elsewhere_is_another_clip(tmp_path: Path) -> None:
    a = make(tmp_path / "a", {"opus": (6,)}, clips="a")
    b = copy(a, tmp_path / "b", "UPDATE clips SET start = 1.5")
    assert merged(a, b)[1].apart == ((1, "other speech clips: none in common"),)


def test_contents_of_several_runs_join_where_they_are_the_same(tmp_path: Path) -> None:
    a = make(tmp_path / "a", {"opus": (6,)})
    b = make(tmp_path / "b", {"mp3": (16,)}, content="music", clips="xyz", channels=2)
    both = make(tmp_path / "both", {"lc3": (24,)})
    music = make(tmp_path / "music", {"lc3": (24,)}, content="music", clips="xyz", channels=2)
    with closing(sqlite3.connect(both / "results.sqlite", isolation_level=None)) as db:
        db.execute("ATTACH ? AS music", (str(music / "results.sqlite"),))
        for table in ("clips", "points", "results", "scores"):
            db.execute(f"INSERT INTO {table} SELECT * FROM music.{table}")
    group = one(both, a, b)
    table = View(group.run).summary
    assert set(zip(table["content"], table["codec"], strict=True)) == {
        ("speech", "lc3"), ("speech", "opus"), ("music", "lc3"), ("music", "mp3"),
    }  # fmt: skip
    assert dict(zip(table["content"], table["clips"], strict=True)) == {"speech": 8, "music": 3}


def test_a_clip_that_one_run_could_not_read_is_no_other_clip(tmp_path: Path) -> None:
    a = make(tmp_path / "a", {"opus": (6,)})
    lost = "UPDATE clips SET status='failed', reason='gone', sha256='', seconds=NULL, rate=NULL WHERE clip='a'"
    b = copy(make(tmp_path / "b0", {"mp3": (16,)}), tmp_path / "b", lost, "DELETE FROM scores WHERE clip='a'")
    for folders in ((a, b), (b, a)):
        group = one(*folders)
        assert set(group.run.clips["status"]) == {"ok"}
        assert set(group.run.clips["sha256"]) == set(read(a).clips["sha256"])


def test_a_metric_that_one_run_lacks_has_no_value_there(tmp_path: Path) -> None:
    a = make(tmp_path / "a", {"opus": (6,)}, metrics=[STOI])
    b = make(tmp_path / "b", {"mp3": (16,)}, metrics=[LSD, STOI])
    group = one(a, b)
    table = View(group.run).summary.set_index("codec")
    assert math.isnan(table.loc["opus", "lsd_mean"])
    assert (table.loc["opus", "lsd_n"], table.loc["mp3", "lsd_n"], table.loc["mp3", "stoi_n"]) == (0, 8, 8)
    assert "Not computed in a: LSD." in group.notes
    assert list(View(group.run).metrics) == ["stoi", "lsd"]


def test_times_of_another_machine_are_marked_and_never_mixed(tmp_path: Path) -> None:
    a = make(tmp_path / "a", {"opus": (6, 12)}, timed=0.1)
    b = make(tmp_path / "b", {"mp3": (16,)}, timed=0.2, machine={"cpu": "Pi <4>", "cores": 4})
    c = make(tmp_path / "c", {"lc3": (24,)}, timed=0.3, machine=EPYC | {"load": 5.0})
    group = one(a, b, c)
    table = View(group.run).summary.set_index(["codec", "point"])["time_encode_wall_rtf"]
    assert math.isnan(table["mp3", "16"])
    assert (table["opus", "6"], table["lc3", "24"]) == (0.1, 0.3)
    mine = group.run.timings[group.run.timings["codec"] == "mp3"]
    assert set(mine["reason"]) == {"timed on another machine: Pi <4>, 4 cores"}
    assert "Times are of EPYC, 8 cores; those of b are of other machines and are left out." in group.notes
    kept = group.timings[group.timings["codec"] == "mp3"]
    assert set(kept["wall_rtf"]) == {0.2}
    assert set(kept["source"]) == {"b"}


def test_a_codec_that_could_not_run_in_one_run_is_taken_from_the_other(tmp_path: Path) -> None:
    a = make(tmp_path / "a", {"opus": (6,), "evs": (13.2,)}, unavailable=["evs"])
    b = make(tmp_path / "b", {"evs": (13.2,), "amr": (12.2,)}, unavailable=["amr"])
    group = one(a, b)
    view = View(group.run)
    assert set(view.summary["codec"]) == {"opus", "evs"}
    assert [c["codec"] for c in view.unavailable] == ["amr"]
    assert "Could not run in a and is from another run: evs." in group.notes


def test_runs_with_the_same_folder_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "x" / "run", {"opus": (6,)}, made="1")
    make(tmp_path / "y" / "run", {"opus": (6,)}, made="2")
    monkeypatch.chdir(tmp_path)
    table = View(one(Path("x/run"), Path("y/run")).run).summary
    assert set(table["codec"]) == {"opus [x/run]", "opus [y/run]"}


def test_facts_are_of_each_run_where_they_differ(tmp_path: Path) -> None:
    a = make(tmp_path / "a", {"opus": (6,)}, packages={"numpy": "2.0", "av": "18"}, suite={"name": "speech"})
    b = make(tmp_path / "b", {"mp3": (16,)}, packages={"numpy": "2.1", "av": "18"}, suite={"name": "mine"})
    info = one(a, b).run.info
    assert info["packages"] == {"numpy": "2.0 (a); 2.1 (b)", "av": "18"}
    assert info["created"] == "2026-01-01"
    assert View(one(a, b).run).suite == "speech + mine"
    json.dumps(info)


def test_real_runs(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    run = small_run(tmp_path_factory)
    drop = [f"DELETE FROM {t} WHERE codec = '%s'" for t in ("points", "results", "scores")]
    a = copy(run, tmp_path / "a", *(text % "lowpass" for text in drop))
    b = copy(run, tmp_path / "b", *(text % "opus" for text in drop))
    pd.testing.assert_frame_equal(View(one(a, b).run).summary, summary(run), check_exact=True)
    again = one(run, a, b)
    pd.testing.assert_frame_equal(View(again.run).summary, summary(run), check_exact=True)
    assert not [note for note in again.notes if "other results" in note or "not made alike" in note]


def pages(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_report_of_one_and_of_several_runs(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run = small_run(tmp_path_factory)
    monkeypatch.setenv("CODECBENCH_CACHE", str(run.parent / "cache"))
    other = make(tmp_path / HOSTILE, {"mp3": (16,)})
    again = copy(run, tmp_path / "again", "UPDATE points SET fingerprint = 'other' WHERE codec = 'opus'")
    out = tmp_path / "out"
    assert main(["report", str(run), str(again), "-o", str(out / "one"), "--clips", "2", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    (page,) = written["pages"]
    assert page["path"] == str(out / "one" / "index.html")
    assert page["runs"] == ["run", "again"]
    files = pages(out / "one")
    assert page["bytes"] == len(files.pop("index.html"))
    assert page["audio_bytes"] == sum(map(len, files.values())) > 0
    assert len(files) == 2
    assert written["seconds"] > 0
    text = (out / "one" / "index.html").read_text()
    assert "opus [run]" in text
    assert "opus [again]" in text
    before = pages(out)
    assert main(["report", str(run), str(again), "-o", str(out / "one"), "--clips", "2"]) == 0
    assert pages(out) == before

    assert main(["report", str(run), str(other), "-o", str(tmp_path / "all.html"), "--clips", "1"]) == 0
    names = {path.name for path in tmp_path.glob("all*")}
    assert names == {"all.html", "all-1.html", "all-2.html"}
    index = (tmp_path / "all.html").read_text()
    assert 'href="all-1.html"' in index
    assert str(escape(HOSTILE)) in index
    assert "<img" not in index
    assert "no metric in common" not in index
    assert "other speech clips: none in common" in index
    assert "audio/" not in (tmp_path / "all-1.html").read_text().split("<script")[0]

    assert main(["report", str(run), "-o", str(tmp_path / "silent.html"), "--clips", "0"]) == 0
    silent = (tmp_path / "silent.html").read_text()
    assert 'id="listen"' not in silent
    sizes = []
    for budget in ("5", "0.5"):
        folder = tmp_path / f"single-{budget}"
        assert main(["report", str(run), "-o", str(folder), "--single-file", "--audio-budget", budget]) == 0
        assert [path.name for path in folder.iterdir()] == ["index.html"]
        sizes.append((folder / "index.html").stat().st_size)
    assert sizes[0] - sizes[1] > 1_000_000


def test_report_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make(tmp_path / "run", {"opus": (6,)})
    out = ["-o", str(tmp_path / "r.html")]
    assert main(["report", str(run), str(tmp_path / "none"), *out]) == 2
    assert f"{tmp_path / 'none'} is no run folder" in capsys.readouterr().err
    assert main(["report", str(run), "--clips", "a,nope", *out]) == 2
    assert "no clip named 'nope'" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["report", str(run), "-o", str(tmp_path / "file" / "r.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    for wrong in (["--clips", ","], ["--audio-budget", "0"], ["--audio-budget", "nan"]):
        with pytest.raises(SystemExit, match="2"):
            main(["report", str(run), *wrong, *out])
    assert not (tmp_path / "r.html").exists()
