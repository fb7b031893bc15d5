"""The suites that ship: one TOML file each, read by `bench/suite.py`."""
