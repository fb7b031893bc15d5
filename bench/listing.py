"""What there is: codecs, corpora, metrics and suites, with availability and reason; plain dictionaries."""

from __future__ import annotations

from typing import Any

from ..codecs import registry as codecs
from ..codecs._declared import unavailable
from ..corpora import CorpusError
from ..corpora import registry as corpora
from .metrics import registry as metrics
from .suite import load_suite, shipped


def list_codecs() -> list[dict[str, Any]]:
    """One dictionary a codec: name, family, kind, points, rates, channels, licence, about, note, versions,
    unavailable."""
    found = []
    for codec in codecs:
        missing = unavailable(codec)
        found.append(
            {
                "name": codec.name,
                "family": codec.family,
                "kind": codec.kind,
                "points": list(dict.fromkeys(point.label for point in codec.points)),
                "kbps": [point.kbps for point in codec.points],
                "rates": list(codec.rates),
                "channels": list(codec.channels),
                "licence": codec.licence,
                "about": codec.about,
                "note": "" if missing else codec.note(),
                "versions": {} if missing else codec.versions(),
                "unavailable": missing or None,
            }
        )
    return found


def list_corpora() -> list[dict[str, Any]]:
    """One dictionary a corpus: name, title, content, clips (embedded ones), layout, licence, homepage."""
    found = []
    for corpus in corpora:
        clips, problem = None, None
        if corpus.embedded:
            try:
                clips = len(corpus.items(None))
            except CorpusError as error:
                problem = str(error)
        found.append(
            {
                "name": corpus.name,
                "title": corpus.title,
                "content": corpus.content,
                "clips": clips,
                "layout": corpus.layout,
                "licence": corpus.licence,
                "homepage": corpus.homepage,
                "downloadable": bool(corpus.downloads),
                "unavailable": problem,
            }
        )
    return found


def list_metrics() -> list[dict[str, Any]]:
    """One dictionary a metric: its declaration, and what is missing for it."""
    return [
        {
            "name": metric.name,
            "title": metric.title,
            "content": list(metric.content),
            "range": [metric.low, metric.high],
            "higher_is_better": metric.higher_is_better,
            "unit": metric.unit,
            "rates": list(metric.rates),
            "package": metric.package,
            "variant": metric.variant,
            "domain": metric.domain,
            "reference": metric.reference,
            "unavailable": metric.available(),
        }
        for metric in metrics
    ]


def list_suites() -> list[dict[str, Any]]:
    """One dictionary a suite that ships: name, title, corpora, codecs, metrics."""
    found = []
    for name in shipped():
        suite = load_suite(name)
        found.append(
            {
                "name": name,
                "title": suite.title,
                "corpora": list(suite.corpora),
                "codecs": list(suite.codecs),
                "metrics": list(suite.metrics),
                "unavailable": None,
            }
        )
    return found
