"""A test as its listeners go through it: begin, hear, judge, finish; every answer is checked and stored at once."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

from . import sound
from .plan import REFERENCE, Material, Trial, draw
from .store import Listening, ListeningError, Rating, Session, now

LONGEST_NAME = 80


class Test:
    """One listening test of a run.

    Parameters
    ----------
    title : the run's name, shown on the page.
    seed : the first session is drawn from it, the next from seed + 1, and so on.
    repeats : ABX trials a codec and point.

    Methods raise ListeningError where an answer comes too early or too late, ValueError where it makes no sense.
    """

    __test__ = False  # not one of pytest's

    def __init__(
        self,
        store: Listening,
        material: Material,
        method: str,
        title: str,
        cache: Path,
        seed: int = 0,
        repeats: int = 10,
    ) -> None:
        self.store, self.material, self.method, self.title, self.cache = store, material, method, title, cache
        self.seed, self.repeats = seed, repeats
        self._preparing = threading.Lock()
        self._prepared = functools.lru_cache(maxsize=4)(lambda trial: sound.prepare(trial, cache))
        self._session = functools.lru_cache(maxsize=64)(self._load)

    def about(self) -> dict[str, Any]:
        """What the first page shows, with the sessions of this method that are not finished."""
        open_ = self.store.rows(
            "SELECT session, listener, created, json_array_length(plan) AS trials, (SELECT count(*) FROM finished f"
            " WHERE f.session = s.session) AS done FROM sessions s WHERE method = ? ORDER BY created DESC",
            self.method,
        )
        example = draw(self.material, self.method, self.seed, self.repeats)
        return {
            "method": self.method,
            "title": self.title,
            "notes": list(self.material.notes),
            "trials": sum(not trial.training for trial in example),
            "conditions": max(len(trial.conditions) for trial in example),
            "open": [s for s in open_ if s["done"] < s["trials"]],
        }

    def begin(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Begin a session; one that is there goes on. body: listener (may be empty), consent (must be true)."""
        listener = body.get("listener")
        if not isinstance(listener, str) or len(listener) > LONGEST_NAME or not listener.isprintable():
            raise ValueError(f"listener: a name of at most {LONGEST_NAME} printable characters, or empty")
        if body.get("consent") is not True:
            raise ValueError("consent is needed: your ratings are stored")
        with self.store:
            if self.store.session(name) is None:
                count = self.store.rows("SELECT count(*) AS n FROM sessions WHERE method = ?", self.method)[0]["n"]
                seed = self.seed + int(count)
                plan = draw(self.material, self.method, seed, self.repeats)
                who = listener.strip() or f"anonymous {name[:6]}"
                self.store.add_session(Session(name, who, self.method, seed, plan, now()))
        return self.state(name)

    def state(self, name: str) -> dict[str, Any]:
        """Where a session stands. Nothing in it tells which condition is which."""
        session = self._session(name)
        done = {r["trial"] for r in self.store.rows("SELECT trial FROM finished WHERE session = ?", name)}
        given: dict[int, dict[int, Any]] = {}
        for r in self.store.rows("SELECT trial, condition, rating, answer FROM ratings WHERE session = ?", name):
            given.setdefault(r["trial"], {})[r["condition"]] = r["answer"] or r["rating"]
        current = next((i for i in range(len(session.plan)) if i not in done), None)
        state: dict[str, Any] = {
            "method": session.method,
            "listener": session.listener,
            "trials": len(session.plan),
            "current": current,
        }
        if current is not None:
            trial = session.plan[current]
            state["trial"] = {
                "clip": trial.clip.clip,
                "training": trial.training,
                "conditions": len(trial.conditions),
                "given": given.get(current, {}),
            }
        return state

    def audio(self, name: str, number: int, what: str | int) -> bytes:
        """A WAV file: "ref" (not of ACR), the condition of that number, or "x" (of ABX)."""
        trial = self._trial(name, number)
        with self._preparing:  # the page asks for all of a trial at once: prepare it once
            heard = self._prepared(trial)
        if what == "x" and trial.x:
            return heard.reference if trial.x == "A" else heard.conditions[0]
        if what == "ref" and self._session(name).method != "acr":
            return heard.reference
        if isinstance(what, int) and what < len(heard.conditions):
            return heard.conditions[what]
        raise ListeningError("this trial has no such signal")

    def rate(self, name: str, number: int, condition: int, body: dict[str, Any]) -> dict[str, Any]:
        """Store a judgement. body: rating (MUSHRA, ACR) or answer (ABX), position and seconds."""
        session, trial = self._session(name), self._trial(name, number)
        if condition >= len(trial.conditions):
            raise ListeningError("this trial has no such condition")
        rating, answer = _judgement(session.method, trial, body)
        one = trial.conditions[condition]
        row = Rating(
            session=name,
            trial=number,
            condition=condition,
            method=session.method,
            corpus=trial.clip.corpus,
            clip=trial.clip.clip,
            content=trial.clip.content,
            codec=one.codec,
            point=one.point,
            is_reference=int(one.codec == REFERENCE),
            is_anchor=int(one.role == "anchor"),
            is_training=int(trial.training),
            wave=one.wave,
            rating=rating,
            answer=answer,
            position=_seconds(body, "position"),
            seconds=_seconds(body, "seconds"),
            created=now(),
        )
        with self.store:
            before = self._given(name, number).get(condition)
            if before == (rating, answer):
                return {"stored": True}
            if self._is_finished(name, number):
                raise ListeningError("this trial is finished; its ratings stay")
            self.store.put(row)
        return {"stored": True}

    def finish(self, name: str, number: int, body: dict[str, Any]) -> dict[str, Any]:
        """End a trial in which every condition was judged, and say where the session stands now."""
        trial, seconds = self._trial(name, number), _seconds(body, "seconds")
        with self.store:
            missing = len(trial.conditions) - len(self._given(name, number))
            if missing:
                raise ListeningError(f"{missing} of {len(trial.conditions)} are not rated yet")
            self.store.finish(name, number, seconds)
        return self.state(name)

    def _load(self, name: str) -> Session:
        session = self.store.session(name)
        if session is None:
            raise ListeningError("there is no such session; begin anew")
        return session

    def _trial(self, name: str, number: int) -> Trial:
        plan = self._session(name).plan
        if number >= len(plan):
            raise ListeningError("this session has no such trial")
        return plan[number]

    def _given(self, name: str, number: int) -> dict[int, tuple[float, str]]:
        rows = self.store.rows(
            "SELECT condition, rating, answer FROM ratings WHERE session = ? AND trial = ?", name, number
        )
        return {r["condition"]: (r["rating"], r["answer"]) for r in rows}

    def _is_finished(self, name: str, number: int) -> bool:
        return bool(self.store.rows("SELECT 1 FROM finished WHERE session = ? AND trial = ?", name, number))


def _judgement(method: str, trial: Trial, body: dict[str, Any]) -> tuple[float, str]:
    """Rating and answer."""
    if method == "abx":
        answer = body.get("answer")
        if answer not in ("A", "B"):
            raise ValueError('answer: "A" or "B"')
        return float(answer == trial.x), answer
    low, high = (0, 100) if method == "mushra" else (1, 5)
    rating = body.get("rating")
    if type(rating) is not int or not low <= rating <= high:
        raise ValueError(f"rating: a whole number from {low} to {high}")
    return float(rating), ""


def _seconds(body: dict[str, Any], key: str) -> float:
    value: Any = body.get(key)
    if type(value) not in (int, float) or not 0 <= value < 1e6:
        raise ValueError(f"{key}: seconds from 0")
    return float(value)
