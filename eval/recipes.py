"""Settings files that build on one another: the key ``base`` names the file that says the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eval.errors import InputError
from eval.files import at_home

BASE = "base"


@dataclass(frozen=True)
class Layer:
    """What one settings file says, without its base.

    Attributes:
        file: its path.
        settings: its keys and values.
    """

    file: Path
    settings: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The settings as YAML."""
        return yaml.safe_dump(self.settings)

    @property
    def keys(self) -> list[str]:
        """All keys, those inside of groups with their group: ``data.size``."""
        return [*dotted(self.settings)]


def layers(file: str | Path, above: tuple[Path, ...] = ()) -> list[Layer]:
    """A settings file and those that it builds on, the lowest first: what a later one says overrides an earlier one.

    A ``base`` is a path relative to the file that names it, and may have a base itself.

    Args:
        file: a YAML file.
        above: the files that led here.

    Raises:
        InputError: a file does not exist, or is no YAML with keys, each of them once; or a base is no path, or is one
            of the files that build on it.
    """
    path = at_home(file)
    settings = _read(path)
    if BASE not in settings:
        return [Layer(path, settings)]
    base = settings.pop(BASE)
    if not isinstance(base, str) or not base:
        raise InputError(
            f"{path}: {BASE} is {base!r}; it must be the path of another settings file, relative to this one"
        )
    way, beneath = (*above, path), path.parent / at_home(base)
    if not beneath.is_file():
        raise InputError(f"{path} names the base {base}, and {beneath} does not exist; a base is relative to its file")
    if beneath.resolve() in {one.resolve() for one in way}:
        raise InputError(f"{' builds on '.join(map(str, (*way, beneath)))}: a circle; take one base away")
    return [*layers(beneath, way), Layer(path, settings)]


class _Loader(yaml.SafeLoader):
    """YAML in which no key stands twice: the first of the two would be lost in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value} is there twice", problem_mark=key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> dict[str, Any]:
    """What a settings file says."""
    try:
        settings = yaml.load(path.read_text(encoding="utf-8-sig"), _Loader)
    except OSError as error:
        raise InputError(f"the settings file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"the settings file {path} is not in UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{line}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {error}") from None
    if not isinstance(settings or {}, dict) or not all(isinstance(key, str) for key in settings or {}):
        raise InputError(f"{path} is not a settings file: it must hold keys and values, such as 'seed: 1'")
    return settings or {}


def dotted(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, groups and what is in them, by keys such as ``data`` and ``data.size``."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found[key] = value
        if isinstance(value, Mapping):
            found |= {f"{key}.{inner}": one for inner, one in dotted(value).items()}
    return found
