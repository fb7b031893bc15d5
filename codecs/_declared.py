"""What an adapter says of itself, checked where it registers: a run must not end on it hours later."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import get_args

from ._codec import Codec, Point, Route

#: names are typed in lists (a,b), with points (a@p+p) or weights (a:path), and left out (-a); they name files, too
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LABEL = re.compile(r"[A-Za-z0-9_.=~-]+")
_CONTENT = {"speech", "music"}


def declared(codec: Codec) -> Codec:
    """The codec itself. TypeError or ValueError where a class attribute or a point is not as the contract wants it."""
    if isinstance(codec, type):
        raise TypeError(f"register an object, not the class: register({codec.__name__}())")
    if not isinstance(codec, Codec):
        raise TypeError(f"{type(codec).__name__} is no Codec; subclass codecbench.codecs.Codec")
    for field in ("name", "family", "licence", "about"):
        value = getattr(codec, field, None)
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"codec {type(codec).__name__}: {field} is {value!r}; it must be text that is not empty")
    own_weights = bool(codec.takes) and codec.name.startswith(f"{codec.takes}:")
    if not own_weights and not _NAME.fullmatch(codec.name):
        raise ValueError(f"codec name {codec.name!r}: letters, digits, _ . and - only, a letter or digit first")
    where = f"codec {codec.name}"
    _whole_numbers(codec, "rates", where)
    _whole_numbers(codec, "channels", where)
    if codec.kind not in ("codec", "anchor"):
        raise ValueError(f"{where}: kind is {codec.kind!r}; it must be codec or anchor")
    for field in ("encode_route", "decode_route"):
        if getattr(codec, field) not in get_args(Route):
            raise ValueError(f"{where}: {field} is {getattr(codec, field)!r}; it must be one of {get_args(Route)}")
    points = getattr(codec, "points", None)
    if not isinstance(points, (tuple, list)) or not points:
        raise ValueError(f"{where}: points is {points!r}; it must be a tuple of at least one Point")
    seen: set[tuple[str, str]] = set()
    for point in points:
        _check_point(point, where)
        for content in point.content:
            if (point.label, content) in seen:
                raise ValueError(f"{where}: the point {point.label} is there twice for {content}")
            seen.add((point.label, content))
    return codec


def _check_point(point: object, where: str) -> None:
    if not isinstance(point, Point):
        raise TypeError(f"{where}: {point!r} is no Point")
    if not isinstance(point.label, str) or not _LABEL.fullmatch(point.label):
        raise ValueError(f"{where}: a point's label is {point.label!r}; letters, digits and _ . = ~ - only")
    where = f"{where}, point {point.label}"
    kbps = point.kbps
    if kbps is not None and not (isinstance(kbps, (int, float)) and 0 < kbps < math.inf):
        raise ValueError(f"{where}: kbps is {kbps!r}; it must be a number above 0, or None")
    if point.mode not in ("cbr", "vbr"):
        raise ValueError(f"{where}: mode is {point.mode!r}; it must be cbr or vbr")
    if not isinstance(point.params, Mapping):
        raise TypeError(f"{where}: params is {point.params!r}; it must be a dictionary")
    if isinstance(point.content, str) or not point.content or not set(point.content) <= _CONTENT:
        raise ValueError(f'{where}: content is {point.content!r}; it must be ("speech", "music") or one of these')
    if point.rates:
        _whole_numbers(point, "rates", where)


def _whole_numbers(thing: object, field: str, where: str) -> None:
    value = getattr(thing, field, None)
    if not isinstance(value, (tuple, list)) or not value or not all(type(n) is int and n > 0 for n in value):
        raise ValueError(f"{where}: {field} is {value!r}; it must be a tuple of whole numbers above 0")


def unavailable(codec: Codec) -> str:
    """Why a codec cannot run here, empty if it can. An adapter whose own description raises cannot."""
    doing = "available"
    try:
        reason = codec.available()
        if reason:
            return reason if isinstance(reason, str) else f"available() gave {reason!r}, not a reason"
        doing = "versions"
        if not isinstance(versions := codec.versions(), dict):
            return f"versions() gave {versions!r}, not a dictionary"
        doing = "config"
        json.dumps([versions, codec.config()], default=str)
        doing = "note"
        if not isinstance(note := codec.note(), str):
            return f"note() gave {note!r}, not text"
    except Exception as error:  # somebody else's code must not end our run
        return f"{doing}() raised {type(error).__name__}: {error}"
    return ""
