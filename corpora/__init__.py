"""Corpora, one file each; importing a file registers its corpus (see `_corpus.py` for the contract)."""

from __future__ import annotations

from ..bench.registry import Registry
from ._corpus import Content, Corpus, CorpusError, Download, Item

registry: Registry[Corpus] = Registry("corpus", __name__)
register = registry.register

__all__ = ["Content", "Corpus", "CorpusError", "Download", "Item", "register", "registry"]
