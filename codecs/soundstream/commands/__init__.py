"""Subcommands of `bench` that SoundStream brings, one file each (see `bench/cli/__init__.py`)."""
