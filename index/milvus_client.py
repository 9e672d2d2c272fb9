"""Finding a Milvus, and saying in one sentence what it says is wrong."""

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from eval.errors import InputError
from eval.files import at_home, real_path
from index.manifest import Collection

ADDRESS, TOKEN = "FIELDMARK_MILVUS", "MILVUS_TOKEN"
"""Environment variables: an address in the place of the one that the index names, and what opens it."""

LITE = ".db"
"""How the name of a file of Milvus Lite ends."""

SECONDS = 60
"""That a question to Milvus may take."""


def parse_address(text: str) -> str:
    """The address of a Milvus, as the manifest keeps it.

    Args:
        text: a path that ends in ``.db``, for Milvus Lite, or an address such as ``http://host:19530``.

    Raises:
        InputError: it is neither, or holds a password.
    """
    if text.endswith(LITE):
        path = real_path(at_home(text))
        if not path.parent.is_dir():
            raise InputError(f"{path.parent} is no folder, so that {path.name} cannot be made there; make it first")
        return str(path)
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(
            f"{text!r} is no address of a Milvus; give one such as http://host:19530, or a path that ends in {LITE} "
            "for Milvus Lite"
        )
    if parts.username or parts.password:
        raise InputError(f"leave name and password out of the address; set the environment variable {TOKEN} to them")
    return text


def new_address(text: str) -> str:
    """The address for a new index, as ``parse_address`` takes it.

    Raises:
        InputError: it is none, or the environment names another one.
    """
    address, other = parse_address(text), os.environ.get(ADDRESS)
    if other and parse_address(other) != address:
        raise InputError(f"--milvus is {text} and {ADDRESS} is {other}; unset one of them")
    return address


def connect(address: str, *, make: bool = False) -> Any:
    """A ``MilvusClient``, for an address that an index names.

    Args:
        address: as ``parse_address`` takes it; the environment may name another one.
        make: make the file of Milvus Lite where there is none, for vectors that are still to come.

    Raises:
        InputError: pymilvus is not installed, the file does not exist, or nothing answers.
    """
    address = os.environ.get(ADDRESS) or address
    if not make and address.endswith(LITE) and not at_home(address).exists():
        raise InputError(f"{address} does not exist; move it back, or name the place that it is in by now in {ADDRESS}")
    address = parse_address(address)
    pymilvus = _pymilvus(address.endswith(LITE))
    try:
        return pymilvus.MilvusClient(address, token=os.environ.get(TOKEN, ""))
    except pymilvus.MilvusException as error:
        if address.endswith(LITE):
            raise InputError(
                f"{address} cannot be opened: Milvus Lite lets one program in at a time, and another one may be in, or "
                "the file is another program's; close the other program, or run a Milvus server"
            ) from None
        raise InputError(
            f"no Milvus answers at {address} ({error.message}); see that it runs and that {TOKEN} is right, or name "
            f"another address in {ADDRESS}"
        ) from None


def _pymilvus(lite: bool) -> ModuleType:
    """The library, which then logs nothing: what it logs it raises as well."""
    if importlib.util.find_spec("pymilvus") is None or (lite and importlib.util.find_spec("milvus_lite") is None):
        raise InputError("vectors in Milvus take packages that are not installed: pip install 'fieldmark[milvus]'")
    import pymilvus  # noqa: PLC0415 - an extra, and half a second

    for name in ("pymilvus", "milvus_lite"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return pymilvus


@contextmanager
def milvus_errors(collection: Collection) -> Iterator[None]:
    """Say what Milvus says in one sentence."""
    pymilvus = _pymilvus(lite=False)
    import grpc  # noqa: PLC0415 - what pymilvus speaks, and does not always translate

    try:
        yield
    except (pymilvus.MilvusException, grpc.RpcError) as error:
        if error.code == pymilvus.exceptions.ErrorCode.COLLECTION_NOT_FOUND:
            raise InputError(
                f"the collection {collection.name} is gone from {collection.address}; open the index again, and if "
                f"that does not help, name the right address in {ADDRESS} or build it again"
            ) from None
        reason = error.details() if isinstance(error, grpc.RpcError) else error.message
        raise InputError(
            f"Milvus at {collection.address} says: {reason}; see that it runs, or name another address in {ADDRESS}"
        ) from None
