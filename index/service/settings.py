"""The limits and permissions of a service."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from eval.errors import InputError
from eval.files import real_path
from eval.images import MAX_PIXELS

TOKEN = "FIELDMARK_TOKEN"
"""The environment variable that a token may come in."""

SHORTEST = 16
"""Characters of a token: a shorter one could be guessed."""

MOST = 10**9
"""Of any limit: more than a machine has, and a number to calculate with, which infinity is not."""


@dataclass(frozen=True)
class Limits:
    """What a request may be, so that no client can take more of the machine than its share.

    Attributes:
        megabytes: of a request's body.
        megapixels: of a photo.
        photos: in a request.
        neighbours: that a request may ask for.
        label: characters of a label.
        waiting: requests that are worked on or wait; more are answered 503 at once.
        waiting_megabytes: of the bodies of these, all together.
        seconds: for an answer, from the first byte of its request.
        body_seconds: for the body of a request.
        header_seconds: for its head.
        connections: that are open at once.
        shutdown_seconds: for what is under way when the service is told to stop.
    """

    megabytes: float = 32
    megapixels: float = 50
    photos: int = 16
    neighbours: int = 100
    label: int = 200
    waiting: int = 64
    waiting_megabytes: float = 256
    seconds: float = 30
    body_seconds: float = 20
    header_seconds: float = 10
    connections: int = 512
    shutdown_seconds: int = 30

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value <= MOST:
                raise InputError(f"limits.{name} is {value}; it must be above 0 and at most {MOST}")
        if self.megapixels > MAX_PIXELS / 1e6:
            raise InputError(f"limits.megapixels is {self.megapixels:g}; it can be at most {MAX_PIXELS / 1e6:g}")

    @property
    def body(self) -> int:
        """Bytes of a request's body."""
        return int(self.megabytes * 1e6)

    @property
    def pixels(self) -> int:
        """Pixels of a photo."""
        return int(self.megapixels * 1e6)


@dataclass(frozen=True)
class Settings:
    """What a service serves, and to whom.

    Attributes:
        folder: the index.
        host: the address that it listens at.
        port: likewise; 0 for any that is free.
        workers: processes that answer.
        hosts: names that it goes by, beside ``localhost`` and bare addresses.
        token: what must be shown to change the index; None where nobody may.
        taught: the folder that photos are kept in which it is taught.
        limits: what a request may be.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    hosts: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    taught: Path | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def taught_folder(self) -> Path:
        """Where taught photos are kept: beside the index, where no folder is named."""
        return self.taught or self.folder.absolute().with_suffix(".taught")

    def without_folder(self, sentence: str) -> str:
        """A sentence as clients are told it: the index by its name, and not where it lies."""
        for path in (real_path(self.folder), self.folder.absolute(), self.folder):
            if len(path.parts) > 1:
                sentence = sentence.replace(str(path), path.name)
        return sentence


def read_token(file: Path | None) -> str:
    """The token that must be shown to change an index, from a file or else from the environment.

    Raises:
        InputError: there is none, or it is too short.
    """
    if file is not None:
        try:
            token, source = file.read_text(encoding="utf-8").strip(), str(file)
        except UnicodeDecodeError:
            raise InputError(f"{file} is no text; write a token into it") from None
        except OSError as error:
            raise InputError(f"the token's file {file} cannot be read ({error.strerror})") from None
    else:
        token, source = os.environ.get(TOKEN, "").strip(), TOKEN
    make = "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
    if not token:
        where = f"{file} is empty" if file else f"set {TOKEN}, or name a file with --token-file"
        raise InputError(f"--allow-edit needs a token: {where}; {make}")
    if len(token) < SHORTEST or not (token.isascii() and token.isprintable()):
        raise InputError(f"the token in {source} must have at least {SHORTEST} characters, all of them ASCII; {make}")
    return token
