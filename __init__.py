"""codecbench: benchmark audio codecs, neural and classic, on speech and music."""

__version__ = "0.1.0"
