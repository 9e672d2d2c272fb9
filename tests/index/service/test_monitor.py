"""The numbers of worker processes, and the log: a JSON object a line."""

import json
import logging
import os
import subprocess
import sys

from index.service.monitor import SHARED, JsonLines, Monitor


def test_gauges_of_processes_that_are_gone_are_removed_and_what_they_counted_stays(tmp_path, monkeypatch):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names, others = ("counter", "histogram", "gauge_livesum", "gauge_livemin"), (os.getpid(), 1)
    for name in names:
        for pid in (gone.pid, *others):
            (tmp_path / f"{name}_{pid}.db").touch()
    monkeypatch.setenv(SHARED, str(tmp_path))
    Monitor()
    alive = {f"{name}_{pid}.db" for name in names for pid in others}
    assert {path.name for path in tmp_path.iterdir()} == alive | {f"{name}_{gone.pid}.db" for name in names[:2]}


def line(**more):
    record = logging.makeLogRecord({"msg": "said %s", "args": ("so",), "levelname": "INFO", **more})
    return json.loads(JsonLines().format(record))


def test_what_was_said_is_in_the_line():
    told = line(status=200, route="/search", odd={1, 2}, _of_a_library=1)
    assert (told["message"], told["level"], told["status"], told["route"]) == ("said so", "info", 200, "/search")
    assert told["time"].endswith("+00:00")
    assert isinstance(told["odd"], str)
    assert {*told} == {"time", "level", "message", "status", "route", "odd"}


def test_a_line_is_a_line_whatever_is_in_it():
    text = JsonLines().format(logging.makeLogRecord({"msg": "two\nlines \u2028 \x1b[31m"}))
    assert "\n" not in text
    assert "\x1b" not in text


def test_a_mistake_has_its_traceback():
    try:
        raise KeyError("oh")
    except KeyError:
        told = line(exc_info=sys.exc_info())
    assert "KeyError: 'oh'" in told["traceback"]
