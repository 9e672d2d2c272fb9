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
    """A file's YAML without its ``base``, and that base; none where it names none or cannot be read.

    It is parted as YAML's nodes, so that every value stays as it is written.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return "", None  # whoever reads the settings says what is wrong
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    base = next((value for key, value in pairs if key.value == BASE), None)
    if base is None:
        return "", None
    if not isinstance(base, yaml.ScalarNode) or not base.value:
        raise InputError(f"{path}: {BASE} must be the path of another settings file, relative to this one")
    rest = [pair for pair in pairs if pair[0].value != BASE]
    return yaml.serialize(yaml.MappingNode("tag:yaml.org,2002:map", rest)), base.value
