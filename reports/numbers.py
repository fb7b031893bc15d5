"""Numbers as tables show them."""

from __future__ import annotations

import math

MISSING = "–"


def number(value: float | None, digits: int) -> str:
    """A number for a table; a dash where there is none."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{abs(value):.{digits}f}"
    return f"−{text}" if value < 0 and float(text) else text


def kbps(value: float) -> str:
    """A rate to a hundredth, so that the constant ones show that they are exact: "6.00", "12.65", "127.3"."""
    return number(value, 2 if value < 100 else 1)


def rtf(value: float) -> str:
    """A real-time factor with two significant digits, one below a thousandth."""
    if 0 < value < 0.00095:
        mantissa, exponent = f"{value:.0e}".split("e")
        return f"{mantissa}e−{abs(int(exponent))}"
    return number(value, 1 if value >= 1 else 2 if value >= 0.1 else 3 if value >= 0.01 else 4)
