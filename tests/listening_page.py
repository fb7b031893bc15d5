"""What the browser tests of `bench listen` do on its page. `page` is Playwright's, `server` the test's."""

from __future__ import annotations

import time

TRIAL = "!!document.querySelector('.keys') && document.querySelector('main').ariaBusy === 'false'"


def until(page, expression: str, seconds: float = 10.0) -> None:
    """Wait until an expression is true in the page (Playwright's own wait needs eval, which the page forbids)."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never became true: {expression}"
        page.wait_for_timeout(20)


def begin(page, server, name: str = "me") -> None:
    """From the first page to the first trial, by keyboard."""
    page.goto(server.url)
    page.locator("#name").focus()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    until(page, TRIAL)


def player(page, expression: str):
    return page.evaluate(f"(() => {{ const p = listening.player; return {expression}; }})()")


def ratings(server) -> list[dict]:
    return server.test.store.rows("SELECT * FROM ratings ORDER BY trial, condition")


def trial_number(page, number: int | None) -> None:
    wanted = "null" if number is None else number
    until(page, f"listening.state()?.current === {wanted} && document.querySelector('main').ariaBusy === 'false'")


def settle(page) -> None:
    """Wait until the sliders' last moves have been sent and stored."""
    page.wait_for_timeout(400)
    page.evaluate("listening.stored()")
