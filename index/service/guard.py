"""What is asked of every request before it is read: host, token, size, time; and the headers of every answer."""

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import re
import secrets
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from index.service.monitor import Told
from index.service.running import BUSY, GENERATION, TOLD, Service

LOG = logging.getLogger("fieldmark.service")

READING = {"/search", "/explain"}
"""What may be posted to without changing the index."""

ALWAYS = {"/healthz", "/readyz", "/metrics"}
"""What is answered however busy the service is."""

LONGEST_TARGET = 4096
"""Bytes of a request's path, and of its query."""

LONGEST_HEADERS, MOST_HEADERS = 16_384, 100
"""Bytes of a request's headers, and how many there may be."""

PLAIN_FORM = 1 << 16
"""Bytes of a form without photos."""

HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(:\d{1,5})?", re.ASCII)

SECURITY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()",
}
"""Headers of every answer: the page runs its own scripts, speaks to this service alone, and is framed by nobody."""


class Guard:
    """The outermost part of the application.

    Args:
        app: what answers the requests that are let in.
        service: what is guarded.

    Attributes:
        service: likewise.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        settings = service.settings
        self.service, self._app, self._limits, self._monitor = service, app, settings.limits, service.monitor
        self._hosts = {"localhost", *(host.lower() for host in settings.hosts)}
        self._token = hashlib.sha256(settings.token.encode()).digest() if settings.token else None
        self._count, self._bytes = {True: 0, False: 0}, {True: 0, False: 0}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        told = Told(secrets.token_hex(8), time.perf_counter())
        scope[TOLD] = told
        guarded = _Sender(send, told)
        try:
            await self._answer(scope, receive, guarded)
        finally:
            self._tell(scope, told)

    async def _answer(self, scope: Scope, receive: Receive, send: "_Sender") -> None:
        """Answer a request, or say why not; whatever happens is told in a sentence."""
        try:
            self._check(scope)
            with self._admitted(scope):
                body = _Body(receive, scope[TOLD], self._most(scope), self._limits.body_seconds)
                inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope  # its body is not sent
                async with asyncio.timeout(None if _changes(scope) else self._limits.seconds):
                    await self._app(inner, body, send)
                return
        except HTTPException as error:
            refused = error
        except TimeoutError:
            refused = HTTPException(503, f"this took longer than {self._limits.seconds:g} seconds; try again", BUSY)
        except Exception:
            LOG.exception("a request failed", extra={"request": scope[TOLD].id})
            refused = HTTPException(500, f"something went wrong here; the log has it as {scope[TOLD].id}")
        if not send.started:
            headers = dict(refused.headers or {})
            answer = JSONResponse({"error": refused.detail}, refused.status_code, headers)
            await answer(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Refuse what is not asked of this service, or by somebody who may not.

        Raises:
            HTTPException: with the reason.
        """
        if max(len(scope.get("raw_path") or b""), len(scope["query_string"])) > LONGEST_TARGET:
            raise HTTPException(414, f"the address is longer than {LONGEST_TARGET} bytes; make it shorter")
        if len(scope["headers"]) > MOST_HEADERS or sum(len(a) + len(b) for a, b in scope["headers"]) > LONGEST_HEADERS:
            raise HTTPException(431, f"the headers have more than {LONGEST_HEADERS} bytes; send fewer")
        headers = Headers(scope=scope)
        self._check_host(headers.getlist("host"))
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return
        site, origin = headers.get("sec-fetch-site", "none"), headers.get("origin")
        here = origin is None or origin.partition("://")[2].lower() == headers["host"].lower()
        if site not in ("none", "same-origin") or not here:
            raise HTTPException(403, "this came from a page of another site; open this service's own page")
        if _changes(scope):
            self._check_token(headers.get("authorization", ""))
        self._check_length(headers.get("content-length"), self._most(scope))

    def _check_host(self, given: list[str]) -> None:
        """Refuse names that are not this service's: a page could have made its own name lead here (DNS rebinding)."""
        found = HOST.fullmatch(given[0].lower()) if len(given) == 1 else None
        if found is None:
            raise HTTPException(400, "a request must have one Host header, with a name or an address")
        name = found[1].strip("[]")
        if name not in self._hosts and not _is_address(name):
            told = f"this service does not go by the name {name!r}; start it with --hosts '[{name}]'"
            raise HTTPException(403, told)

    def _check_token(self, given: str) -> None:
        """Refuse changes by those who may not make them."""
        if self._token is None:
            raise HTTPException(403, "this service does not change its index; start it with --allow-edit")
        scheme, _, shown = given.partition(" ")
        digest = hashlib.sha256(shown.strip().encode()).digest()
        if not (hmac.compare_digest(digest, self._token) and scheme.lower() == "bearer"):
            wrong = "the token is wrong" if given else "the token is missing"
            challenge = {"www-authenticate": "Bearer"}
            raise HTTPException(401, f"{wrong}; send it as the header Authorization: Bearer TOKEN", challenge)

    def _most(self, scope: Scope) -> int:
        """The bytes that a body may have: few without photos, as such a form is taken apart letter by letter."""
        kind = Headers(scope=scope).get("content-type", "")
        return self._limits.body if kind.lower().startswith("multipart/") else min(self._limits.body, PLAIN_FORM)

    def _check_length(self, given: str | None, most: int) -> None:
        """Refuse a body that says that it is too large."""
        if given is not None and given.isdecimal() and int(given) > most:
            raise _too_large(most)

    @contextmanager
    def _admitted(self, scope: Scope) -> Iterator[None]:
        """Count a request among those that are under way, unless there are too many."""
        if scope["path"] in ALWAYS:
            yield
            return
        changes, claim = _changes(scope), _claim(scope, self._most(scope))
        full = self._count[changes] >= self._limits.waiting  # those who ask cannot keep those out who may change
        if full or self._bytes[changes] + claim > self._limits.waiting_megabytes * 1e6:
            raise HTTPException(503, "too many requests are waiting; try again in a second", BUSY)
        self._count[changes] += 1
        self._bytes[changes] += claim
        self._monitor.under_way(sum(self._count.values()))
        try:
            yield
        finally:
            self._count[changes] -= 1
            self._bytes[changes] -= claim
            self._monitor.under_way(sum(self._count.values()))

    def _tell(self, scope: Scope, told: Told) -> None:
        """Tell of a request, when it is over: never its path, names or token."""
        seconds = time.perf_counter() - told.began
        self._monitor.answered(scope["method"], told, seconds)
        said = {
            "request": told.id,
            "method": scope["method"][:16],
            "route": told.route,
            "status": told.status,
            "milliseconds": round(seconds * 1000, 1),
            "generation": told.generation,
        }
        LOG.info("answered", extra=said)


class _Sender:
    """Sends an answer on, with the headers that every one has.

    Attributes:
        started: whether it has begun.
    """

    def __init__(self, send: Send, told: Told) -> None:
        self._send, self._told = send, told
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self._told.status = 0 if self._told.gone else message["status"]
            _add_headers(message, self._told)
        await self._send(message)


class _Body:
    """Receives a request's body, no more of it and no longer than it may take."""

    def __init__(self, receive: Receive, told: Told, most: int, seconds: float) -> None:
        self._receive, self._told, self._left, self._most = receive, told, most, most
        self._until, self._seconds = time.monotonic() + seconds, seconds

    async def __call__(self) -> Message:
        if self._left < 0:
            raise _too_large(self._most)
        try:
            async with asyncio.timeout(max(0.0, self._until - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, f"the request did not come within {self._seconds:g} seconds; try again") from None
        self._told.gone |= message["type"] == "http.disconnect"
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise _too_large(self._most)
        return message


def _add_headers(message: MutableMapping[str, Any], told: Told) -> None:
    """Give an answer the headers that it lacks of those that every one has."""
    own = {name.lower() for name, _ in message["headers"]}
    added = {**SECURITY, "cache-control": "no-store", "x-request-id": told.id}
    if told.generation is not None:
        added[GENERATION] = str(told.generation)
    if told.embedder is not None:
        added["fieldmark-embedder"] = told.embedder
    message["headers"] = [
        *message["headers"],
        *((name.encode(), value.encode()) for name, value in added.items() if name.encode() not in own),
    ]


def _changes(scope: Scope) -> bool:
    """Whether a request is to change the index: whatever is not known to read."""
    return scope["method"] not in ("GET", "HEAD", "OPTIONS") and scope["path"] not in READING


def _claim(scope: Scope, most: int) -> int:
    """The bytes that a request's body may take."""
    if scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return 0
    length = Headers(scope=scope).get("content-length", "")
    return min(int(length), most) if length.isdecimal() else most


def _is_address(name: str) -> bool:
    """Whether a host is named by its address, which no other name can lead to."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _too_large(most: int) -> HTTPException:
    """The refusal of a body."""
    advice = "send fewer photos, or smaller ones"
    if most == PLAIN_FORM:
        advice = "send photos as the field photo of a form, multipart/form-data, which may be larger"
    return HTTPException(413, f"the request has more than {most / 1e6:g} MB; {advice}")
