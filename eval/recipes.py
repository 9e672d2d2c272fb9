"""Settings files that build on one another: the key ``base`` names the file that says the rest."""

from pathlib import Path

import yaml

from eval.errors import InputError
from eval.files import at_home

BASE = "base"


def layers(file: str | Path, above: tuple[Path, ...] = ()) -> list[str]:
    """A settings file and those that it builds on, the lowest first: what a later one says overrides an earlier one.

    A ``base`` is a path relative to the file that names it, and may have a base itself.

    Args:
        file: a YAML file.
        above: the files that led here.

    Returns:
        The path of the lowest file, then the YAML of each of the others without its ``base``.

    Raises:
        InputError: a base does not exist, is no path, or is one of the files that build on it.
    """
    path = at_home(file)
    text, base = _parted(path)
    if base is None:
        return [str(file)]
    way, beneath = (*above, path), path.parent / at_home(base)
    if not beneath.is_file():
        raise InputError(f"{path} names the base {base}, and {beneath} does not exist; a base is relative to its file")
    if beneath.resolve() in {one.resolve() for one in way}:
        raise InputError(f"{' builds on '.join(map(str, (*way, beneath)))}: a circle; take one base away")
    return [*layers(beneath, way), text]


def _parted(path: Path) -> tuple[str, str | None]:
    """A file's YAML without its ``base``, and that base; none where it names none or cannot be read."""
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return "", None  # whoever reads the settings says what is wrong
    if not isinstance(settings, dict) or BASE not in settings:
        return "", None
    base = settings.pop(BASE)
    if not isinstance(base, str) or not base:
        raise InputError(
            f"{path}: {BASE} is {base!r}; it must be the path of another settings file, relative to this one"
        )
    return yaml.safe_dump(settings), base
