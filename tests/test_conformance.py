"""Every codec keeps the contract; the kit finds those that do not."""

from __future__ import annotations

import dataclasses
import json
import textwrap

import numpy as np
import pytest
from codecbench.bench import _isolated
from codecbench.bench.cli import main
from codecbench.bench.conformance import check
from codecbench.codecs import registry
from codecbench.codecs._load import LoadError, load_module


@pytest.mark.parametrize("name", registry.names())
def test_codec_keeps_the_contract(name):
    codec = registry.get(name)
    reason = codec.available()
    if reason:
        pytest.skip(reason)
    checks = check(codec, thorough=False)
    failed = [f"{one.name} {one.point}: {one.detail}" for one in checks if not one.passed]
    assert not failed, "\n".join(failed)
    tried = {one.name.partition(":")[0] for one in checks}
    assert tried >= {"declaration", "delay", "rate", "silence", "lengths", "extremes", "refusals", "channels"}
    assert tried >= {"sample rates", "determinism", "frames", "other process", "damage"}


#: adapter faults, each with the check that must catch it: (code that overrides the skeleton's, check)
FAULTS = {
    "delay": "def delay(self, rate, point): return 2",
    "rate": "points = (Point('128', 127.0, {'bits': 8}),)",
    "silence": "def decode(self, e, p): c = super().decode(e, p); return Clip(c.samples + np.float32(0.1), c.rate)",
    "lengths": "def decode(self, e, p): c = super().decode(e, p); return Clip(c.samples[:, :-320].copy(), c.rate)",
    "refusals": "def check(self, clip, point): pass",
    "determinism": "def encode(self, c, p): e = super().encode(c, p); return replace(e, setup=os.urandom(4))",
    "other process": "def encode(self, c, p): e = super().encode(c, p); return replace(e, setup=b'%d' % os.getpid())",
    "frames": "def frames(self, c, p): return iter([1])",
    "declaration": "def config(self): return {'draw': os.urandom(4).hex()}",
    "damage: no packets": "def decode(self, e, p): e.packets[0]; return super().decode(e, p)",
    "damage: empty packet": (
        "def decode(self, e, p):\n"
        "        if not all(k.data for k in e.packets): os._exit(9)\n"
        "        return super().decode(e, p)"
    ),
    "damage: packet of one byte": (
        "def decode(self, e, p):\n"
        "        if any(len(k.data) == 1 for k in e.packets): time.sleep(60)\n"
        "        return super().decode(e, p)"
    ),
}


def skeleton(tmp_path, name, change=""):
    """The file that `bench new codec` writes, with a subclass that has a fault."""
    assert main(["new", "codec", name, "--dir", str(tmp_path)]) == 0
    path = tmp_path / f"{name}.py"
    if change:
        title = name.capitalize()
        code = path.read_text().replace(f"register({title}())", "").rstrip()
        path.write_text(
            f"{code}\n\n\nimport os, time\nfrom dataclasses import replace\n\n\n"
            f"class Faulty({title}):\n    {change}\n\n\nregister(Faulty())\n"
        )
    return path


@pytest.mark.parametrize("name", FAULTS)
def test_kit_finds_the_fault(name, tmp_path, forget_codecs, monkeypatch):
    monkeypatch.setattr(_isolated, "LIMIT", 10.0 if "one byte" in name else 60.0)
    (added,) = load_module(skeleton(tmp_path, "faulty", FAULTS[name]))
    checks = check(registry.get(added), thorough=False)
    assert name in {one.name for one in checks if not one.passed}


def test_new_check_and_help(tmp_path, forget_codecs, capsys):
    path = skeleton(tmp_path, "mine")
    assert "bench check codec mine --codec-module" in capsys.readouterr().out.replace("\n", " ")
    assert main(["check", "codec", "mine", "--codec-module", str(path), "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["codec"] == "mine"
    assert all(one["passed"] for one in report["checks"])
    assert main(["check", "codec", "g722"]) == 0
    assert "all" in capsys.readouterr().out
    assert main(["new", "codec", "mine", "--dir", str(tmp_path)]) == 2
    assert main(["new", "codec", "other", "--dir", str(tmp_path / "no")]) == 2
    assert main(["new", "codec", "opus", "--dir", str(tmp_path)]) == 2
    assert main(["new", "codec", "Bad-Name", "--dir", str(tmp_path)]) == 2
    assert main(["check", "codec"]) == 2
    assert main(["check", "codec", "opsu"]) == 2
    assert "opus" in capsys.readouterr().err
    assert main(["check", "codec", "mine", "--codec-module", str(tmp_path / "absent.py")]) == 2


def test_failed_check_is_shown_and_told_by_the_exit_code(tmp_path, forget_codecs, capsys):
    path = skeleton(tmp_path, "faulty", FAULTS["delay"])
    assert main(["check", "codec", "--codec-module", str(path)]) == 1
    shown = capsys.readouterr().out
    assert "FAIL delay" in shown
    assert "declared 2, measured 0 samples" in shown


def test_unavailable_codec_is_told_not_passed(tmp_path, forget_codecs, capsys):
    path = skeleton(tmp_path, "faulty", "def available(self): return 'needs foo: pip install foo'")
    assert main(["check", "codec", "--codec-module", str(path)]) == 1
    assert "pip install foo" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\n\ny = 1 / 0\n", r"broken\.py:3: ZeroDivisionError"),
        ("x = 1\nif:\n", r"broken\.py:2: SyntaxError"),
        ("import no_such_module_here\n", r"broken\.py:1: ModuleNotFoundError"),
        ("x = 1\n", r"broken\.py: registers no codec"),
    ],
)
def test_broken_module_is_named_with_its_line(code, message, tmp_path, forget_codecs):
    path = tmp_path / "broken.py"
    path.write_text(textwrap.dedent(code))
    with pytest.raises(LoadError, match=message):
        load_module(path)


def test_module_loads_once(tmp_path, forget_codecs):
    path = skeleton(tmp_path, "once")
    assert load_module(path) == load_module(path) == ["once"]
    (tmp_path / "again.py").write_text(path.read_text())
    with pytest.raises(LoadError, match="registered twice"):
        load_module(tmp_path / "again.py")


def test_damage_is_damage():
    codec = registry.get("g722")
    point = codec.points[0]
    encoded = codec.encode(_isolated.Clip(np.ones((1, 3200), np.float32) * 0.1, 16000), point)
    cases = dict(_isolated.damage(encoded))
    assert len(cases) == 9
    assert all(damaged != encoded for damaged in cases.values())
    assert all(dataclasses.replace(d, packets=()).rate == 16000 for d in cases.values())
