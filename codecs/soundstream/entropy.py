"""Entropy coding of the codes, lossless: a static Huffman code for each stage, one self-contained packet a frame.

A frame of SoundStream is a message of 4 to 24 symbols that must be decodable without its neighbours, and what ends
such a message decides what it costs. A range coder needs about 1.5 bits a frame for the end (12 to 24 with the 32-bit
words of `constriction`, more than there is to gain); a Huffman code ends where its last code word ends and loses 0.03
bits a symbol, since no symbol here is frequent (docs/bitstream.md has the figures). Both are in `constriction`
(Bamler 2022, arXiv 2201.01741). Code words stand in the order of the stages, so that here too a lower bitrate is a
prefix of the packet.

The tables are made from the codes that a model gives for audio it was trained on (tools/soundstream_tables.py); they
belong to that model and name it.
"""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from . import packaged
from .bitstream import BITS, MAX_STAGES, BitstreamError

#: tables of the packaged weights
TABLES = packaged.WEIGHTS.with_name("tables.npz")
MAKE = "python tools/soundstream_tables.py FOLDER"


class TablesError(Exception):
    """Tables that are missing, damaged or of another model; the message names the file."""


def missing() -> str | None:
    """Why entropy coding cannot run here and the command that mends it; None if it can."""
    if find_spec("constriction") is None:
        return "the package constriction is not installed: pip install constriction"
    if not TABLES.is_file():
        return f"{TABLES}: there are no tables of code frequencies; make them, {MAKE}"
    try:
        load(TABLES, packaged.model_id())
    except (OSError, TablesError) as error:
        return str(error)
    return None


def count(codes: NDArray[np.integer]) -> NDArray[np.int64]:
    """How often each code comes in each stage: codes [F, n] -> [n, 1024]."""
    return np.stack([np.bincount(column, minlength=1 << BITS) for column in codes.T])


def fit(counts: NDArray[np.integer], held_out: NDArray[np.integer]) -> NDArray[np.int64]:
    """Tables from counts [n, 1024] of two sets of files.

    To every count of a stage one number is added, so that no code is without a code word: the one of 1, 2, 4 ... with
    which tables of the first set code the second in the fewest bits. Voices and instruments that were not counted would
    otherwise cost more than the 10 bits of no table at all.
    """
    added = 2 ** np.arange(20)
    smoothed = counts[:, None, :] + added[:, None].astype(np.int64)  # [n, 20, 1024]
    bits = -np.log2(smoothed / smoothed.sum(2, keepdims=True))
    best = (bits * held_out[:, None, :]).sum(2).argmin(1)
    tables: NDArray[np.int64] = counts + held_out + added[best][:, None]
    return tables


def save(path: Path, tables: NDArray[np.integer], model: str) -> None:
    """Write tables [n, 1024] and the id of the model that they belong to. Raises TablesError."""
    _check(path, tables)
    with path.open("wb") as file:
        np.savez_compressed(file, tables=tables.astype(np.uint32), model=np.array(model))


def load(path: Path, model: str | None = None) -> NDArray[np.uint32]:
    """Read tables, [n, 1024].

    Raises
    ------
    TablesError : unreadable, of another shape, or, where `model` is given, of another model than that.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            tables, owner = arrays["tables"], str(arrays["model"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise TablesError(f"{path}: not tables of code frequencies ({error})") from error
    _check(path, tables)
    checked: NDArray[np.uint32] = tables.astype(np.uint32)
    if model not in (None, owner):
        raise TablesError(f"{path}: tables of the model {owner}, not of {model}: make them anew, {MAKE}")
    return checked


def _check(path: Path, tables: NDArray[np.integer]) -> None:
    fits = tables.ndim == 2 and 1 <= len(tables) <= MAX_STAGES and tables.shape[1] == 1 << BITS
    if not fits or tables.dtype.kind not in "iu" or tables.min() < 1 or tables.max() >= 2**32:
        raise TablesError(f"{path}: tables are whole numbers >= 1 [n, 1024], not {tables.dtype} {list(tables.shape)}")


class FrameCoder:
    """Codes of one frame as bits and back.

    Parameters
    ----------
    tables : [n, 1024] as `load` gives them: whole numbers, exact in double precision, so that every machine builds the
        same code words.
    """

    def __init__(self, tables: NDArray[np.integer]) -> None:
        self._weights = tables.astype(np.float64)

    @cached_property
    def _encoders(self) -> list[Any]:
        from constriction import symbol

        return [symbol.huffman.EncoderHuffmanTree(row) for row in self._weights]

    @cached_property
    def _decoders(self) -> list[Any]:
        from constriction import symbol

        return [symbol.huffman.DecoderHuffmanTree(row) for row in self._weights]

    def pack(self, codes: NDArray[np.integer]) -> tuple[bytes, int]:
        """Codes of the first n stages [n] as bytes and the exact number of bits in them.

        Bits fill each byte from the least significant one; the last byte is filled up with zeros.
        """
        from constriction import symbol

        if codes.size and not 0 <= codes.min() <= codes.max() < 1 << BITS:
            raise BitstreamError(f"codes from {codes.min()} to {codes.max()}; a code has {BITS} bits")
        encoder = symbol.QueueEncoder()
        for code, tree in zip(codes.tolist(), self._encoders[: len(codes)], strict=True):
            encoder.encode_symbol(code, tree)
        words, bits = encoder.get_compressed_and_bitrate()
        return words.astype("<u4").tobytes()[: -(-bits // 8)], int(bits)

    def unpack(self, data: bytes, n: int) -> NDArray[np.uint16]:
        """Inverse of `pack`: [n]. BitstreamError if the bytes end before n codes; what follows them is ignored."""
        from constriction import symbol

        words = np.frombuffer(data + bytes(-len(data) % 4), "<u4").astype(np.uint32)
        decoder = symbol.QueueDecoder(words)
        try:
            codes = np.array([decoder.decode_symbol(tree) for tree in self._decoders[:n]], dtype=np.uint16)
            whole = self.pack(codes)[1] <= 8 * len(data)  # what filled up the last word is no part of the packet
        except ValueError:
            whole = False
        if not whole:
            raise BitstreamError(f"a packet of {len(data)} bytes ends before its {n} codes do")
        return codes
