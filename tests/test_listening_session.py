"""Sessions of a listening test over HTTP: what is stored, what comes twice, what goes on, what is refused."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import listening_run
import pytest
import soundfile as sf
from listening_run import HELLO, ID, WHEN, Client, servers


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return listening_run.build(tmp_path_factory.mktemp("listening"), clips=2, seconds=0.8)


@pytest.fixture
def serve(made, tmp_path):
    with servers(made, tmp_path, clips=1) as start:
        yield lambda *args, **options: Client(start(*args, **options))


@pytest.fixture(scope="module")
def serve_once(made, tmp_path_factory):
    with servers(made, tmp_path_factory.mktemp("run"), clips=1) as start:
        yield Client(start("mushra"))


def test_a_mushra_session_from_begin_to_end(serve):
    client = serve("mushra")
    assert client.get("test")[1]["title"] == listening_run.NASTY
    status, state = client.post(f"session/{ID}", HELLO)
    assert status == 200
    assert (state["trials"], state["current"]) == (2, 0)
    assert state["trial"]["training"] is True
    assert state["trial"]["conditions"] == 5
    for hidden in ("opus", "lowpass", "reference", "3.5k"):
        assert hidden not in json.dumps(state)
    for trial in range(2):
        status, answer = client.post(f"finish/{ID}/{trial}", {"seconds": 1})
        assert status == 409
        assert "5 of 5 are not rated" in answer["error"]
        for condition in range(5):
            assert client.post(f"rating/{ID}/{trial}/{condition}", {"rating": 10 * condition, **WHEN})[0] == 200
        status, state = client.post(f"finish/{ID}/{trial}", {"seconds": 9.5})
        assert status == 200
    assert state["current"] is None
    assert len(client.ratings()) == 10
    plan = client.store.session(ID).plan
    for row in client.ratings():
        condition = plan[row["trial"]].conditions[row["condition"]]
        assert (row["codec"], row["point"]) == (condition.codec, condition.point)
        assert row["is_reference"] == (condition.role == "reference")
        assert row["is_anchor"] == (condition.role == "anchor")
        assert row["is_training"] == (row["trial"] == 0)
        assert (row["rating"], row["position"], row["seconds"]) == (10.0 * row["condition"], 0.5, 2.0)
    assert client.get("test")[1]["open"] == []


def test_what_comes_twice_is_stored_once(serve):
    client = serve("mushra")
    first = client.post(f"session/{ID}", HELLO)
    assert client.post(f"session/{ID}", {**HELLO, "listener": "another"}) == first
    for _ in range(2):
        assert client.post(f"rating/{ID}/0/3", {"rating": 70, **WHEN}) == (200, {"stored": True})
    [row] = client.ratings()
    client.post(f"rating/{ID}/0/3", {"rating": 70, "position": 0.9, "seconds": 7.0})
    assert client.ratings() == [row]
    client.post(f"rating/{ID}/0/3", {"rating": 60, **WHEN})
    assert [r["rating"] for r in client.ratings()] == [60.0]
    for condition in (0, 1, 2, 4):
        client.post(f"rating/{ID}/0/{condition}", {"rating": 5, **WHEN})
    assert client.post(f"finish/{ID}/0", {"seconds": 1.0}) == client.post(f"finish/{ID}/0", {"seconds": 2.0})
    assert client.store.rows("SELECT trial, seconds FROM finished") == [{"trial": 0, "seconds": 1.0}]
    assert client.post(f"rating/{ID}/0/3", {"rating": 60, **WHEN})[0] == 200  # a retry that was late
    assert client.post(f"rating/{ID}/0/3", {"rating": 61, **WHEN})[0] == 409
    assert [r["rating"] for r in client.ratings() if r["condition"] == 3] == [60.0]


@pytest.mark.parametrize(
    "judgement",
    [
        {}, {"rating": None}, {"rating": "50"}, {"rating": 50.5}, {"rating": True}, {"rating": -1}, {"rating": 101},
        {"rating": 50, "position": -1}, {"rating": 50, "seconds": float("nan")},
        {"rating": 50, "seconds": float("inf")},
        {"rating": 50, "seconds": 10**400}, {"rating": 50, "position": None}, {"answer": "A"},
    ],
)  # fmt: skip
def test_judgements_that_make_no_sense(serve_once, judgement):
    assert serve_once.post("session/" + "a" * 16, HELLO)[0] == 200
    status, answer = serve_once.post("rating/" + "a" * 16 + "/0/0", {**WHEN, **judgement})
    assert status == 400
    assert answer["error"]
    assert serve_once.ratings() == []


def test_places_that_are_not_there(serve_once):
    session = "a" * 16
    serve_once.post(f"session/{session}", HELLO)
    assert serve_once.post(f"rating/{session}/0/5", {"rating": 50, **WHEN})[0] == 409
    assert serve_once.post(f"rating/{session}/2/0", {"rating": 50, **WHEN})[0] == 409
    assert serve_once.post(f"rating/{'b' * 16}/0/0", {"rating": 50, **WHEN})[0] == 409
    assert serve_once.post(f"finish/{session}/7", {"seconds": 1})[0] == 409
    assert serve_once.get(f"audio/{session}/0/5")[0] == 409
    assert serve_once.get(f"audio/{session}/0/x")[0] == 409
    assert serve_once.get(f"session/{'c' * 16}")[0] == 409


def test_a_session_goes_on_with_another_server(serve):
    client = serve("mushra", seed=5)
    client.post(f"session/{ID}", HELLO)
    client.post(f"rating/{ID}/0/2", {"rating": 33, **WHEN})
    later = serve("mushra", seed=99)
    _, state = later.get(f"session/{ID}")
    assert state["trial"]["given"] == {"2": 33.0}
    [open_] = later.get("test")[1]["open"]
    assert (open_["session"], open_["listener"], open_["done"], open_["trials"]) == (ID, "me", 0, 2)


def test_each_session_has_an_order_and_a_seed_of_its_own(serve):
    client = serve("mushra", seed=5)
    for i in range(6):
        client.post(f"session/{i:016x}", {"listener": "", "consent": True})
    sessions = [client.store.session(f"{i:016x}") for i in range(6)]
    assert [s.seed for s in sessions] == [5, 6, 7, 8, 9, 10]
    assert sessions[0].listener == "anonymous 000000"
    assert len({s.plan[1].conditions for s in sessions}) > 1


def test_abx_answers_are_compared_with_what_x_was(serve):
    client = serve("abx", repeats=4)
    client.post(f"session/{ID}", HELLO)
    plan = client.store.session(ID).plan
    assert len(plan) == 1 + 2 * 4
    for number, trial in enumerate(plan):
        a, b, x = (client.raw("GET", f"/{client.server.token}/audio/{ID}/{number}/{n}")[2] for n in ("ref", "0", "x"))
        assert a != b
        assert x == (a if trial.x == "A" else b)
        assert client.post(f"rating/{ID}/{number}/0", {"answer": "C", **WHEN})[0] == 400
        assert client.post(f"rating/{ID}/{number}/0", {"answer": "A", **WHEN})[0] == 200
        client.post(f"finish/{ID}/{number}", {"seconds": 1})
    assert [r["rating"] for r in client.ratings()] == [float(t.x == "A") for t in plan]
    assert {r["answer"] for r in client.ratings()} == {"A"}


def test_acr_gives_one_signal_and_takes_one_to_five(serve):
    client = serve("acr")
    client.post(f"session/{ID}", HELLO)
    assert client.get(f"audio/{ID}/0/ref")[0] == 409
    status, headers, wav = client.raw("GET", f"/{client.server.token}/audio/{ID}/0/0")
    assert (status, headers["Content-Type"]) == (200, "audio/wav")
    assert sf.info(io.BytesIO(wav)).duration == pytest.approx(0.8)
    assert [client.post(f"rating/{ID}/0/0", {"rating": r, **WHEN})[0] for r in (0, 6, 5)] == [400, 400, 200]


def test_audio_that_was_pruned_is_an_error_and_not_silence(serve, tmp_path):
    client = serve("acr")
    client.post(f"session/{ID}", HELLO)
    session = client.store.session(ID)
    number = next(i for i, t in enumerate(session.plan) if t.conditions[0].codec == "opus")
    lost = replace(session.plan[number].conditions[0], wave="gone")
    client.server.test._session = lambda _: replace(
        session,
        plan=(*session.plan[:number], replace(session.plan[number], conditions=(lost,)), *session.plan[number + 1 :]),
    )
    status, answer = client.get(f"audio/{ID}/{number}/0")
    assert status == 409
    assert "no longer in the cache" in answer["error"]
