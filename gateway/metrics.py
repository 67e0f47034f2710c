"""Counting what this process does, in the text form of Prometheus."""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters of one process; only ever touched from its event loop."""

    def __init__(self) -> None:
        self.started_at = time.time()
        self.in_flight = 0
        self.subscriptions = 0
        self.pushes: Counter[Labels] = Counter()
        self._requests: Counter[Labels] = Counter()
        self._buckets = [0] * (len(SECONDS) + 1)
        self._seconds = 0.0

    def answered(self, status: int, seconds: float) -> None:
        """Counts one HTTP request."""
        self._requests[(("status", str(status)),)] += 1
        self._buckets[bisect_left(SECONDS, seconds)] += 1
        self._seconds += seconds

    def text(self, lags: Mapping[str, int], kept_aside: Mapping[str, int]) -> str:
        """All of it, with each view's lag in facts and the readings kept aside by reason."""
        lines = [
            *_metric("smartrix_requests_total", "counter", "HTTP requests answered", self._requests.items()),
            *self._latency(),
            *_metric("smartrix_in_flight", "gauge", "HTTP requests under way", [((), self.in_flight)]),
            *_metric("smartrix_subscriptions", "gauge", "subscriptions open", [((), self.subscriptions)]),
            *_metric("smartrix_pushes_total", "counter", "events pushed", self.pushes.items()),
            *_metric("smartrix_view_lag_facts", "gauge", "facts a view lacks", _by("view", lags)),
            *_metric("smartrix_kept_aside_total", "gauge", "readings kept aside", _by("reason", kept_aside)),
            *_metric("smartrix_started_seconds", "gauge", "start, Unix time", [((), self.started_at)]),
        ]
        return "\n".join(lines) + "\n"

    def _latency(self) -> Iterable[str]:
        name = "smartrix_request_seconds"
        yield f"# HELP {name} seconds from a request to its answer"
        yield f"# TYPE {name} histogram"
        running = 0
        for edge, count in zip((*map(str, SECONDS), "+Inf"), self._buckets, strict=True):
            running += count
            yield f'{name}_bucket{{le="{edge}"}} {running}'
        yield f"{name}_sum {self._seconds}"
        yield f"{name}_count {running}"


def _by(label: str, values: Mapping[str, int]) -> list[tuple[Labels, float]]:
    return [(((label, name),), value) for name, value in values.items()]


def _metric(name: str, kind: str, text: str, values: Iterable[tuple[Labels, float]]) -> Iterable[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in values:
        inside = ",".join(f'{label}="{_escaped(content)}"' for label, content in labels)
        yield f"{name}{{{inside}}} {value}" if labels else f"{name} {value}"


def _escaped(content: str) -> str:
    return content.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
