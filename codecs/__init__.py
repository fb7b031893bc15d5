"""Codec adapters, one file each; importing a file registers its codecs (see `_codec.py` for the contract)."""

from __future__ import annotations

from ..bench.registry import Registry
from ._codec import Codec, CodecError, Encoded, Packet, Point, Tokens
from ._declared import declared

registry: Registry[Codec] = Registry("codec", __name__, declared)
register = registry.register

__all__ = ["Codec", "CodecError", "Encoded", "Packet", "Point", "Tokens", "register", "registry"]
