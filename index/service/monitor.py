"""What a service says of itself: Prometheus' numbers, and the log, a JSON object a line."""

import json
import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable with the folder that worker processes share their numbers in."""

METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}
SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
PHOTOS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)

OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message", "taskName"}
"""What every log record has; all else was said on purpose."""


@dataclass
class Told:
    """What is told of one request, as far as it is known.

    Attributes:
        id: names the request in the log and in its answer.
        began: when, on the clock that only goes forward.
        route: the template of its path; never the path itself, which a client makes up.
        generation: of the index that answered; None where none did.
        embedder: its fingerprint's first digits; likewise.
        status: of the answer; 0 where the client was gone.
        gone: whether the client went before all of its request had come.
    """

    id: str
    began: float
    route: str = "other"
    generation: int | None = None
    embedder: str | None = None
    status: int = 0
    gone: bool = False


class Monitor:
    """The numbers of one process. Their labels are bounded: routes by template, methods by name.

    What shows the state of a worker process that is gone is removed: it would be shown for ever.

    Attributes:
        registry: what they are kept in.
    """

    def __init__(self) -> None:
        if SHARED in os.environ:
            _forget_gone(Path(os.environ[SHARED]))
        self.registry = CollectorRegistry()
        own, labels = self.registry, ["method", "route", "status"]
        self._requests = Counter("fieldmark_requests", "Requests answered", labels, registry=own)
        self._seconds = Histogram(
            "fieldmark_request_seconds", "Seconds to an answer", ["route"], buckets=SECONDS, registry=own
        )
        self._photos = Histogram(
            "fieldmark_batch_photos", "Photos that the network saw at once", buckets=PHOTOS, registry=own
        )
        self._batch = Histogram("fieldmark_batch_seconds", "Seconds of such a batch", buckets=SECONDS, registry=own)
        self._under_way = Gauge(
            "fieldmark_requests_under_way", "Requests being worked on", multiprocess_mode="livesum", registry=own
        )
        self._generation = Gauge(
            "fieldmark_generation", "Generation that answers", multiprocess_mode="livemin", registry=own
        )
        self._references = Gauge("fieldmark_references", "References of it", multiprocess_mode="livemin", registry=own)

    def under_way(self, count: int) -> None:
        """So many requests are being worked on."""
        self._under_way.set(count)

    def answered(self, method: str, told: Told, seconds: float) -> None:
        """A request has been answered."""
        self._requests.labels(method if method in METHODS else "other", told.route, str(told.status)).inc()
        self._seconds.labels(told.route).observe(seconds)

    def batch(self, photos: int, seconds: float) -> None:
        """The network has seen some photos."""
        self._photos.observe(photos)
        self._batch.observe(seconds)

    def generation(self, generation: int, references: int) -> None:
        """Another generation answers."""
        self._generation.set(generation)
        self._references.set(references)

    def text(self) -> bytes:
        """All numbers as Prometheus reads them, of all worker processes where there are several."""
        registry = self.registry
        if SHARED in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def _forget_gone(shared: Path) -> None:
    """Remove the gauges of processes that are gone; what they have counted stays."""
    for file in shared.glob("gauge_live*_*.db"):
        try:
            os.kill(int(file.stem.rpartition("_")[2]), 0)
        except ProcessLookupError:
            file.unlink(missing_ok=True)  # another process may start at the same time
        except PermissionError:
            continue


class JsonLines(logging.Formatter):
    """A log record as one JSON object on a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level and message, then whatever else was said; what other libraries mark every record with is not."""
        said = {name: value for name, value in vars(record).items() if name not in OWN and not name.startswith("_")}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **said,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "index.service.monitor.JsonLines"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"},
    },
    "loggers": {
        name: {"handlers": ["stderr"], "level": level, "propagate": False}
        for name, level in (("fieldmark", "INFO"), ("uvicorn", "INFO"), ("uvicorn.error", "INFO"))
    },
}
"""How a service logs, for ``logging.config.dictConfig``."""
