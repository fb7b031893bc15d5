"""The gate of `bench compare`: bounds on NEW - BASE, and what is a regression.

A bound is METRIC<-DELTA, METRIC>DELTA, kbps>DELTA or kbps>PERCENT%. Under one condition, a metric has *regressed* if
the mean difference lies beyond the bound and its whole 95 % interval lies on the bad side of 0. The rate is counted
and not estimated: beyond the bound is enough. Fewer than five clips have no interval; such a condition was *not
measured*, and so was one that NEW has no more. A result or score that BASE has and NEW has not is a regression.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .compare import Comparison, Condition
from .failures import counts_text
from .numbers import number

_RULE = re.compile(r"\s*(?P<metric>\w[\w.-]*?)\s*(?P<side>[<>])\s*(?P<bound>[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)\s*(?P<percent>%?)\s*", re.I)  # fmt: skip # noqa: E501
RATE = "kbps"

Level = Literal["regression", "not measured", "passed"]


class RuleError(Exception):
    """A bound that cannot be used; says how it should be written."""


@dataclass(frozen=True)
class Rule:
    """A bound on NEW - BASE: worse is below (side "<") or above it; `percent`: of BASE's rate."""

    metric: str
    side: Literal["<", ">"]
    bound: float
    percent: bool = False

    @property
    def text(self) -> str:
        return f"{self.metric}{self.side}{self.bound:g}{'%' if self.percent else ''}"

    def beyond(self, difference: float) -> bool:
        return difference < self.bound if self.side == "<" else difference > self.bound


@dataclass(frozen=True)
class Finding:
    """What the gate says: of a condition, or of a whole run where `condition` is None.

    Attributes
    ----------
    what : the bound, or "failures".
    """

    level: Level
    condition: Condition | None
    what: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """The findings and the exit code that follows: 0 passed, 1 a regression, 2 not comparable or not measured."""

    findings: tuple[Finding, ...]
    exit_code: int
    text: str


def parse(text: str, metrics: Mapping[str, Mapping[str, Any]]) -> Rule:
    """A bound as users write it.

    Parameters
    ----------
    metrics : declarations of the metrics there are, by name.

    Raises
    ------
    RuleError
    """
    found = _RULE.fullmatch(text)
    if not found:
        raise RuleError(f"{text!r} is no bound; write METRIC<-DELTA or METRIC>DELTA, such as pesq_wb<-0.05 or kbps>1%")
    metric, side, bound = found["metric"], found["side"], float(found["bound"])
    if not math.isfinite(bound):
        raise RuleError(f"{text!r}: {found['bound']} is beyond all numbers")
    if metric != RATE and metric not in metrics:
        raise RuleError(f"{text!r}: neither run has {metric!r}; there are: {', '.join([*metrics, RATE])}")
    if found["percent"] and metric != RATE:
        raise RuleError(f"{text!r}: only {RATE} has bounds in percent; give the bound in the metric's unit")
    better = {"<": False, ">": True}[side]
    if metric != RATE and metrics[metric].get("higher_is_better") is better:
        good = "higher" if better else "lower"
        raise RuleError(
            f"{text!r}: {good} is better, this would fail where NEW improved; "
            f"a regression is {metric}{'<-' if better else '>'}{abs(bound):g}"
        )
    if bound and (bound > 0) != better:
        turned = f"{metric}{side}{-bound:g}{found['percent']}"
        raise RuleError(f"{text!r}: bounds are on NEW - BASE, and this one fails without a change; {turned}, perhaps?")
    return Rule(metric, side, bound, bool(found["percent"]))  # type: ignore[arg-type]


def judge(comparison: Comparison, rules: Sequence[Rule]) -> Verdict:
    """What a comparison comes to. Without rules it only asks whether anything could be compared."""
    if not rules:
        if comparison.measured:
            return Verdict((), 0, "Compared, without a bound")
        reasons = [*comparison.obstacles, *_reasons(comparison.other_metrics), *_reasons(comparison.gone)]
        found = [Finding("not measured", None, "compared", text) for text in reasons or ["no score is in both runs"]]
        return Verdict(tuple(found), 2, "Nothing could be compared")
    distrust = [Finding("not measured", None, "comparable", text) for text in comparison.obstacles]
    findings = [*distrust, *_gone(comparison)]
    for rule in rules:
        findings += _apply(comparison, rule)
    findings += [found for condition in comparison.conditions for found in _losses(condition)]
    bad = sum(found.level == "regression" for found in findings)
    blind = sum(found.level == "not measured" for found in findings)
    if distrust:
        return Verdict(tuple(findings), 2, "Not comparable")
    if bad:
        return Verdict(
            tuple(findings), 1, f"Failed: {bad} of {len(findings)} checks" + (f", {blind} not measured" * bool(blind))
        )
    if blind:
        return Verdict(tuple(findings), 2, f"Not measured: {blind} of {len(findings)} checks")
    return Verdict(tuple(findings), 0, f"Passed: {len(findings)} checks")


def _reasons(reasons: Mapping[str, str]) -> Iterable[str]:
    return (f"{name}: {why}" for name, why in reasons.items())


def _gone(comparison: Comparison) -> list[Finding]:
    return [Finding("not measured", None, name, f"{name}: {why}") for name, why in comparison.gone.items()]


def _apply(comparison: Comparison, rule: Rule) -> list[Finding]:
    """The rule under every condition that it is about."""
    if rule.metric in comparison.other_metrics:
        why = f"{rule.metric}: {comparison.other_metrics[rule.metric]}"
        return [Finding("not measured", None, rule.text, why)]
    check = _rate if rule.metric == RATE else _score
    found = [finding for condition in comparison.conditions for finding in check(condition, rule)]
    return found or [Finding("not measured", None, rule.text, f"no condition has {rule.metric}")]


def _rate(condition: Condition, rule: Rule) -> Iterator[Finding]:
    one, two = condition.base_kbps, condition.new_kbps
    if not condition.coded:
        yield Finding("not measured", condition, rule.text, "no clip was coded in both")
    if math.isnan(one) or math.isnan(two):
        return  # anchors have no rate
    difference = (two / one - 1) * 100 if rule.percent else two - one
    level: Level = "regression" if rule.beyond(difference) else "passed"
    yield Finding(level, condition, rule.text, f"{one:.2f} → {two:.2f} kbit/s ({(two / one - 1) * 100:+.2f} %)")


def _score(condition: Condition, rule: Rule) -> Iterator[Finding]:
    for change in condition.changes:
        if change.metric != rule.metric:
            continue
        d = change.difference
        if math.isnan(d.low):
            text = f"{d.n} of {condition.clips} clips have a score in both; an interval needs 5"
            yield Finding("not measured", condition, rule.text, text)
            continue
        significant = d.high < 0 if rule.side == "<" else d.low > 0
        level: Level = "regression" if significant and rule.beyond(d.value) else "passed"
        ends = f"{number(d.low, 4)}, {number(d.high, 4)}"
        yield Finding(level, condition, rule.text, f"{number(d.value, 4)} [{ends}], {d.n} of {condition.clips} clips")


def _losses(condition: Condition) -> Iterator[Finding]:
    """What BASE has and NEW has not, as one finding."""
    lost = [f"not coded: {counts_text(condition.failed)}"] if condition.failed else []
    lost += [f"no {c.metric}: {counts_text(c.lost)}" for c in condition.changes if c.lost]
    if lost:
        yield Finding("regression", condition, "failures", "; ".join(lost))
    else:
        yield Finding("passed", condition, "failures", "none that BASE has not")
