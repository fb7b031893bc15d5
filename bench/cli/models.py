"""Models: weights of codecs that do not ship; list, download, take from a folder, check, remove.

They lie in $CODECBENCH_MODELS or the platform's cache folder; those of the Hugging Face hub, unless you bring them, in
that library's own cache. `bench run` fetches the small ones (10 MB at most) by itself, and the large ones with
--fetch-models. CODECBENCH_OFFLINE=1 forbids every download.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ._console import emit_json, err, out

if TYPE_CHECKING:
    from ..models import Model

EPILOG = """\
examples:
  bench models list
  bench models get lyra_v2                 then: bench run --codecs lyra_v2,opus
  bench models add dac_44k ~/dac           from a folder, for a machine without a network
  bench models verify                      all that are here
  bench models path lyra_v2
  bench models remove lyra_v2

exit codes: 0 all well, 1 something failed or is not here, 2 usage
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`bench models ACTION [NAME ...]`, and `add NAME FOLDER`."""
    parser.add_argument("action", choices=["list", "get", "add", "verify", "path", "remove"])
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="models (list, verify: by default all, or all that are here); add: a NAME and a FOLDER",
    )
    parser.add_argument("--json", action="store_true", help="list as JSON")


def run(args: argparse.Namespace) -> int:
    from ..models import find

    names, action = args.names, args.action
    if action == "add" and len(names) != 2:
        err.print("bench models add takes a NAME and a FOLDER")
        return 2
    if action in ("get", "path", "remove") and not names:
        err.print(f"which one? bench models {action} NAME; see `bench models list`")
        return 2
    try:
        chosen = [find(name) for name in names[: 1 if action == "add" else None]]
    except KeyError as error:
        err.print(error.args[0], markup=False)
        return 2
    if action == "list":
        return _list(chosen, args.json)
    if action == "add":
        return _add(chosen[0], Path(names[1]))
    return {"get": _get, "verify": _verify, "path": _path, "remove": _remove}[action](chosen)


def _list(chosen: list[Model], as_json: bool) -> int:
    from rich.table import Table

    from .. import models

    used = models.users()
    rows = [
        {
            "name": model.name,
            "title": model.title,
            "codecs": used[model],
            "bytes": model.bytes or None,
            "licence": model.licence,
            "address": model.address,
            "files": [{"name": f.name, "sha256": f.sha256 or None, "bytes": f.bytes or None} for f in model.files],
            "folder": None if (place := models.path(model)) is None else str(place),
            "missing": models.missing(model),
        }
        for model in chosen or used
    ]
    if as_json:
        emit_json(rows)
        return 0
    table = Table("name", "codecs", "size", "licence", "address", "here", box=None)
    for column in table.columns:
        column.overflow = "fold"
    for model, row in zip(chosen or used, rows, strict=True):
        here = str(row["folder"] or f"no: bench models get {model.name}")
        table.add_row(model.name, " ".join(used[model]), model.size, model.licence, model.address, here)
    out.print(table)
    return 0


def _get(chosen: list[Model]) -> int:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from ..models import ModelError, get

    failed = 0
    for model in chosen:
        err.print(f"{model.title}, {model.size}\n  licence: {model.licence}\n  from: {model.address}", markup=False)
        columns = (TextColumn(model.name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        try:
            # huggingface_hub shows bars of its own
            with Progress(*columns, console=err, disable=bool(model.repo) or not err.is_terminal) as bar:
                task = bar.add_task(model.name)
                place = get(model, lambda done, total: bar.update(task, completed=done, total=total))  # noqa: B023
        except ModelError as error:
            err.print(str(error), markup=False)
            failed += 1
        else:
            _tell_unchecked(model, place)
            out.print(str(place), markup=False, soft_wrap=True)
    return 1 if failed else 0


def _add(model: Model, source: Path) -> int:
    from ..models import ModelError, add

    try:
        place = add(model, source)
    except ModelError as error:
        err.print(str(error), markup=False)
        return 1
    _tell_unchecked(model, place)
    out.print(str(place), markup=False, soft_wrap=True)
    return 0


def _tell_unchecked(model: Model, place: Path) -> None:
    from ..models import unchecked

    for name, sha256 in unchecked(model, place).items():
        line = f"{model.name}: {name} was taken as it is, since no SHA-256 of it is published; it has {sha256}"
        err.print(line, markup=False, soft_wrap=True)


def _verify(chosen: list[Model]) -> int:
    from ..models import path, users, verify

    failed = 0
    here = [model for model in users() if path(model)]
    if not chosen and not here:
        err.print("no model is here; see `bench models list`")
    for model in chosen or here:
        problems = verify(model)
        if not problems and (place := path(model)):
            _tell_unchecked(model, place)
        for problem in problems:
            err.print(problem, markup=False)
        out.print(f"{model.name}: {'not whole' if problems else 'all files are whole'}", markup=False)
        failed += bool(problems)
    return 1 if failed else 0


def _path(chosen: list[Model]) -> int:
    from ..models import missing, path

    for model in chosen:
        if place := path(model):
            out.print(str(place), markup=False, soft_wrap=True)
        else:
            err.print(f"{model.name}: {missing(model)}", markup=False)
    return 0 if all(path(model) for model in chosen) else 1


def _remove(chosen: list[Model]) -> int:
    from ..models import ModelError, remove

    failed = 0
    for model in chosen:
        try:
            removed = remove(model)
        except ModelError as error:
            err.print(str(error), markup=False)
            failed += 1
        else:
            text = "\n".join(f"removed {path}" for path in removed) or f"{model.name} is not here"
            out.print(text, markup=False, soft_wrap=True)
    return 1 if failed else 0
