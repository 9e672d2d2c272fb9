"""The log: a JSON object a line."""

import json
import logging
import sys

from index.service.monitor import JsonLines


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
