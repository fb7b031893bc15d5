"""A registry of named things: codecs, corpora, metrics.

A thing registers itself when its file is imported; the registry imports every public module of its
package on first use, so one new file is all that a new thing needs. Packages outside this one are found
through an entry-point group named after it: "codecbench.codecs", "codecbench.corpora", "codecbench.metrics".
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, Protocol, TypeVar


class Named(Protocol):
    """Anything with a name that the user types."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """Things by name, in alphabetical order.

    Parameters
    ----------
    kind : what one thing is called in messages, such as "codec".
    package : dotted name of the package whose modules register themselves.
    check : gives a thing back, or raises where it is not as its contract wants it.
    """

    def __init__(self, kind: str, package: str, check: Callable[[T], T] = lambda thing: thing) -> None:
        self.kind = kind
        self.package = package
        self._check = check
        self._things: dict[str, T] = {}
        self._loaded = False
        #: entry points that could not be imported: name -> error. Shown by `bench doctor`.
        self.broken: dict[str, str] = {}

    def register(self, thing: T) -> T:
        """Add a thing; a name that is taken raises ValueError, nothing is ever overwritten."""
        thing = self._check(thing)
        if thing.name in self._things:
            raise ValueError(f"{self.kind} {thing.name!r} is registered twice")
        self._things[thing.name] = thing
        return thing

    def remove(self, name: str) -> None:
        """Take a thing away again, such as one whose file could not be loaded to its end."""
        del self._things[name]

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            if not module.name.startswith("_"):
                importlib.import_module(f"{self.package}.{module.name}")
        for point in entry_points(group=f"codecbench.{self.package.rpartition('.')[2]}"):
            try:
                point.load()
            except Exception as error:  # somebody else's package must not end our run
                self.broken[point.name] = f"{type(error).__name__}: {error}"

    def __iter__(self) -> Iterator[T]:
        self._load()
        return iter([self._things[name] for name in sorted(self._things)])

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._things

    def names(self) -> list[str]:
        """All names, sorted."""
        return [thing.name for thing in self]

    def get(self, name: str) -> T:
        """The thing of that name, or KeyError with the nearest names."""
        self._load()
        if name not in self._things:
            near = difflib.get_close_matches(name, self._things, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(self.names())}"
            raise KeyError(f"no {self.kind} named {name!r}; {hint}")
        return self._things[name]
