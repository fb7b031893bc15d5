"""docs/hostile.md says what the tests assert."""

from __future__ import annotations

from faults.hostile import KINDS, PAGE, page


def test_the_page_is_what_the_tables_say():
    assert PAGE.read_text(encoding="utf-8") == page(), "stale: python tests/faults/hostile.py"


def test_every_table_is_on_the_page():
    found = {
        path.stem.removeprefix("test_hostile_") for path in (PAGE.parents[1] / "tests/faults").glob("test_hostile_*.py")
    }
    assert found - {"page"} == set(KINDS)
