"""The lists that data sets come with: numbered lines, tables of numbers, MATLAB files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.errors import InputError, first_few


def text(file: Path) -> str:
    """A text.

    Raises:
        InputError: it is none.
    """
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is damaged: {error}; unpack the data set anew") from None


def lines(file: Path) -> list[str]:
    """The lines of a text; see ``text``."""
    return text(file).splitlines()


def numbered(file: Path, first: int = 1, separator: str = " ") -> list[str]:
    """The values of a list with one line ``<number><separator><value>`` each, counting from ``first``.

    Raises:
        InputError: a line is another one.
    """
    values = []
    for index, line in enumerate(lines(file)):
        number, _, value = (part.strip() for part in line.partition(separator))
        if number != str(first + index) or not value:
            expected = f"{first + index}{separator.rstrip()} VALUE"
            raise InputError(f"{file}, line {index + 1}: expected {expected!r} and found {line!r}")
        values.append(value)
    return values


def meant(file: Path, values: Sequence[str], meaning: Mapping[str, str]) -> list[str]:
    """What each value of a list stands for.

    Raises:
        InputError: one stands for nothing.
    """
    for index, value in enumerate(values, 1):
        if value not in meaning:
            raise InputError(f"{file}, line {index}: {value!r} is none of {first_few([*meaning])}")
    return [meaning[value] for value in values]


def numbers(file: Path, count: int, columns: int) -> NDArray[np.float64]:
    """A list of nothing but finite numbers ``[count, columns]``.

    Raises:
        InputError: it holds something else, or more or fewer of them.
    """
    try:
        found = np.loadtxt(file, ndmin=2)
    except ValueError as error:
        raise InputError(f"{file} is damaged ({error}); unpack the data set anew") from None
    if found.shape != (count, columns) or not np.isfinite(found).all():
        raise InputError(
            f"{file} has {len(found)} lines of {found.shape[1]} values; {count} lines of {columns} numbers are due: "
            "unpack the data set anew"
        )
    return found


def check_ids(file: Path, found: NDArray[np.float64], due: NDArray[np.int64]) -> None:
    """Refuse lines in another order than that of the photos and parts.

    Raises:
        InputError: names the first line that is another.
    """
    if (wrong := np.flatnonzero(found != due)).size:
        line = int(wrong[0])
        raise InputError(f"{file}, line {line + 1}: expected the number {due[line]} and found {found[line]:g}")


def corners(file: Path, boxes: NDArray[np.float64]) -> list[list[float]]:
    """Left, top, right, bottom of boxes ``[N, 4]`` that are given as left, top, width, height, one a line.

    Raises:
        InputError: a box has no area.
    """
    left, top, width, height = boxes.T
    if (flat := np.flatnonzero((width <= 0) | (height <= 0))).size:
        raise InputError(f"{file}, line {flat[0] + 1}: the box has no area")
    return np.stack([left, top, left + width, top + height], axis=1).tolist()


def matlab(file: Path, *names: str) -> list[NDArray[Any]]:
    """Variables of a MATLAB file, arrays of one element as such.

    Raises:
        InputError: it is none, or does not hold them.
    """
    from scipy.io import loadmat  # noqa: PLC0415 - takes a quarter of a second
    from scipy.io import matlab as formats  # noqa: PLC0415

    try:
        found = loadmat(file, squeeze_me=True)
        return [np.atleast_1d(found[name]) for name in names]
    except KeyError as error:
        raise InputError(f"{file} does not hold {error}; unpack the data set anew") from None
    except (ValueError, TypeError, OSError, NotImplementedError, formats.MatReadError) as error:
        raise InputError(f"{file} is no MATLAB file, or damaged ({error}); unpack the data set anew") from None


def keyed(file: Path) -> dict[str, str]:
    """A list with one line ``<key> <value>`` each, in its order.

    Raises:
        InputError: a line has no value, or a key is there twice.
    """
    found: dict[str, str] = {}
    for index, line in enumerate(lines(file), 1):
        key, _, value = line.strip().partition(" ")
        if not value.strip():
            raise InputError(f"{file}, line {index}: expected 'KEY VALUE' and found {line!r}")
        if key in found:
            raise InputError(f"{file}, line {index}: {key!r} is listed twice; unpack the data set anew")
        found[key] = value.strip()
    return found


def meant_of(files: Sequence[Path], keys: Sequence[str]) -> list[str]:
    """What lists of lines ``<key> <value>`` say together of each of some keys.

    Raises:
        InputError: as for ``keyed``, or a key is in none of them.
    """
    values: dict[str, str] = {}
    for file in files:
        values |= keyed(file)
    if missing := next((key for key in keys if key not in values), None):
        raise InputError(f"{files[0]} says nothing of {missing}; unpack the data set anew")
    return [values[key] for key in keys]
