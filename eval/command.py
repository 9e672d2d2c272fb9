"""A typed function becomes a command line: its signature and docstring are the interface.

Parameters before ``*`` are positional, those after it are options (``--on-bad-image`` or ``--on_bad_image``),
``*photos`` takes several, and a parameter whose type is a dataclass becomes a group of keys (``--data.size``) that a
YAML file given by ``--config`` may set as well. ``jsonargparse`` parses and checks; this room adds what it does not
give: plain on/off flags, several positional values, files that build on one another, one-line errors, the nearest right
name for a misspelt flag or key.
"""

import argparse
import dataclasses
import inspect
import itertools
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import docstring_parser
from jsonargparse import ArgumentParser, Namespace

from eval.errors import AlreadySaid, InputError, unknown
from eval.files import at_home
from eval.recipes import BASE, layers

CONFIG = "config"
USER_ERROR, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
MISSPELT_KEYS = (
    r"Group '([\w.]+)' does not accept option '([\w.]+)'",
    r"Option '([\w.]+)' is not accepted",
    r"Key '([\w.]+)' is not expected",
)
"""How jsonargparse says that a key of a YAML file is not known."""

WRONG_VALUE = r'Parser key "([\w.]+)":.* (?:Got|Given) value: (.*)'
"""How it says that a value is not of its type."""

IN_WORDS = {int: "a whole number", float: "a number", bool: "true or false"}


def run(main: Callable[..., Any], arguments: list[str] | None = None) -> None:
    """Parse the command line for ``main``, call it, and leave with its exit status.

    The status is 0 when ``main`` returns, 2 after a user's mistake (one line on standard error), 130 after Ctrl-C, and
    141, with nothing said, where the reader of standard output has gone.
    """
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal may lack the letters of a label
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        positional, options = parse(main, sys.argv[1:] if arguments is None else arguments)
        main(*positional, **options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
    except AlreadySaid:
        sys.exit(USER_ERROR)
    except (InputError, OSError) as error:
        told = f"error: {' '.join(str(error).split())}"
    else:
        return
    # Said here, because what was under way ends with the error, and a progress bar then has its last word.
    print(told, file=sys.stderr)
    sys.exit(USER_ERROR)


def parse(main: Callable[..., Any], arguments: list[str]) -> tuple[list[Any], dict[str, Any]]:
    """Read ``arguments`` by the signature of ``main``.

    Returns:
        What to call ``main`` with: positional values and keyword values.

    Raises:
        InputError: an unknown name or a value of the wrong type, told in one sentence.
    """
    for argument in arguments:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise InputError(f"the name {argument!a} is not UTF-8; rename it")
    parser = build_parser(main)
    types = {action.dest: getattr(action, "_typehint", None) for action in parser._actions}
    shown = {action.dest: [*action.option_strings, str(action.metavar)][0] for action in parser._actions}
    _check_empty(arguments, types)
    positional = [action.dest for action in parser._actions if not action.option_strings]
    said: dict[str, Path] = {}
    try:
        values = parser.parse_args(list(_plain(arguments, types, positional, said)))
        _check_groups(main, values, said)
        values = parser.instantiate(values)
    except argparse.ArgumentError as error:
        raise _readable(str(error), types, shown, said) from None
    given: list[Any] = []
    options: dict[str, Any] = {}
    for name, parameter in inspect.signature(main).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            given += map(_at_home, values[name])
        elif parameter.kind is parameter.KEYWORD_ONLY:
            options[name] = _at_home(values[name])
        else:
            given.append(_at_home(values[name]))
    return given, options


def build_parser(main: Callable[..., Any]) -> ArgumentParser:
    """The parser for the signature of ``main``, with its docstring as the help text."""
    documentation = docstring_parser.parse(main.__doc__ or "", docstring_parser.DocstringStyle.GOOGLE)
    texts = {entry.arg_name.lstrip("*"): entry.description for entry in documentation.params}
    module = main.__globals__.get("__spec__")
    parser = ArgumentParser(
        prog=f"python -m {module.name}" if module else None,
        description="\n".join(filter(None, (documentation.short_description, documentation.long_description))),
        exit_on_error=False,
    )
    types = get_type_hints(main)
    types.pop("return", None)
    if any(map(dataclasses.is_dataclass, types.values())):
        settings_file = "YAML file with any of the keys below, and base, the path from it to one that it builds on"
        parser.add_argument(f"--{CONFIG}", action="config", help=f"{settings_file}; of several the last one wins")
    for name, parameter in inspect.signature(main).parameters.items():
        required = parameter.default is parameter.empty
        # So that a label may be called null, ~ or # 1, and a file null.
        kind = {str | None: str, Path | None: Path}.get(types[name], types[name])
        settings: dict[str, Any] = {"type": kind, "help": texts.get(name), **_choices(types[name])}
        if dataclasses.is_dataclass(types[name]):
            parser.add_class_arguments(types[name], name)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            parser.add_argument(name, nargs="+", metavar=name.rstrip("s").upper(), **settings)
        elif parameter.kind is parameter.KEYWORD_ONLY and required:
            parser.add_argument(f"--{name}", required=True, **settings)
        elif parameter.kind is parameter.KEYWORD_ONLY:
            parser.add_argument(f"--{name}", default=parameter.default, **settings)
        elif required:
            parser.add_argument(name, metavar=name.upper(), **settings)
        else:
            parser.add_argument(name, nargs="?", metavar=name.upper(), default=parameter.default, **settings)
    return parser


def _check_empty(arguments: Sequence[str], types: dict[str, Any]) -> None:
    """Refuse a photo, folder or file without a name, which would be the current folder."""
    for before, argument in itertools.pairwise(["", *arguments]):
        name, equals, value = argument.partition("=")
        if not (equals and name.startswith("--")):
            name, value = before if before.startswith("--") and "=" not in before else "", argument
        key = name[2:].replace("-", "_")
        if not equals and bool in (types.get(key), types.get(_switched_off(key))):
            name = ""  # a flag takes no value: it is what comes next
        kind = types.get(key) if name else Path
        if not value and Path in (kind, *get_args(kind)):
            raise InputError(f"{name or 'a name'} is empty; is a variable of the shell unset?")


def _check_groups(main: Callable[..., Any], values: Namespace, said: dict[str, Path]) -> None:
    """Refuse a YAML file that has one value where a group of keys belongs: jsonargparse would fail on it."""
    for name, kind in get_type_hints(main).items():
        if name != "return" and dataclasses.is_dataclass(kind) and not isinstance(values[name], Namespace):
            example = dataclasses.fields(kind)[0].name
            raise InputError(
                f"{_where(name, said)}{name} is {values[name]!r}, but it is a group of keys, such as {name}.{example}"
            )


def _at_home(value: Any) -> Any:
    """A path with the home folder in the place of ``~``, which a shell leaves in ``--out=~/x``; others as they are."""
    return at_home(value) if isinstance(value, Path) else value


def _plain(
    arguments: list[str], types: dict[str, Any], positional: Collection[str], said: dict[str, Path]
) -> Iterator[str]:
    """Yield the arguments with ``-`` as ``_`` in option names, and on/off flags with their value written out.

    Args:
        arguments: as they were given.
        types: of the options.
        positional: the names of what is no option.
        said: takes the keys of settings files, each with the last file that says it.
    """
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            yield from (argument, *rest)
            return
        if not argument.startswith("--"):
            yield argument
            continue
        name, equals, value = argument[2:].partition("=")
        name = _key(name, types)
        if name not in types and types.get(off := _switched_off(name)) is bool:
            if equals:
                raise InputError(f"{argument} has a value, which a --no- takes not; write --{off}={value}")
            yield f"--{off}=false"
        elif types.get(name) is bool and not equals and (rest[:1] not in (["true"], ["false"])):
            yield f"--{name}=true"
        elif name == CONFIG and name in types and (equals or rest):
            for layer in layers(value if equals else rest.pop(0)):
                said |= dict.fromkeys(layer.keys, layer.file)
                yield f"--{name}={layer.text}"
        else:
            _check_known(name, types, positional)
            said.pop(name, None)
            yield f"--{name}{equals}{value}"


def _switched_off(name: str) -> str:
    """The flag that ``no_flag``, ``no_group.flag`` or ``group.no_flag`` switches off."""
    return re.sub(r"^no_|\.no_(?=[^.]*$)", lambda found: "." * found.group().startswith("."), name)


def _key(name: str, types: dict[str, Any]) -> str:
    """An option's name with ``-`` as ``_``; a key inside a mapping (``loss.weights.proxy-anchor``) stays as it is."""
    group, key, *rest = [*name.split("."), ""]
    head = f"{group}.{key}".replace("-", "_")
    return ".".join([head, *rest[:-1]]) if rest and _is_mapping(types.get(head)) else name.replace("-", "_")


def _check_known(name: str, types: dict[str, Any], positional: Collection[str]) -> None:
    """Raise the error for a flag that does not exist; keys inside a mapping (``loss.options.margin``) are its own."""
    parts = name.split(".")
    if (
        name in positional
        or not any(".".join(parts[: length + 1]) in types for length in range(len(parts)))
        or (name not in types and not _is_mapping(types.get(".".join(parts[:2]))))
    ):
        raise unknown("option", f"--{name}", [f"--{known}" for known in types if known not in positional])


def _is_mapping(type_: Any) -> bool:
    return getattr(type_, "__origin__", None) is dict


def _where(key: str, said: dict[str, Path]) -> str:
    """The beginning of an error about a key of a settings file: which one."""
    return f"{said[key]}: " if key in said else ""


def _readable(message: str, types: dict[str, Any], shown: dict[str, str], said: dict[str, Path]) -> InputError:
    """Turn the parser's message into one sentence."""
    message = " ".join(message.split())
    for misspelt in MISSPELT_KEYS:
        if found := re.search(misspelt, message):
            key = ".".join(found.groups())
            return InputError(f"{_where(key, said)}{unknown('key', key, [*types, BASE])}")
    wrong = re.fullmatch(WRONG_VALUE, message)
    if wrong and (expected := _in_words(types.get(wrong[1]))):
        return InputError(f"{_where(wrong[1], said)}{wrong[1]} is {wrong[2]}; it must be {expected}")
    heading, required, missing = message.partition("arguments are required: ")
    if required:
        return InputError(heading + required + ", ".join(shown.get(name, name) for name in missing.split(", ")))
    message = re.sub(r"""Parser key ["']([\w.]+)["']:""", lambda found: f"{_where(found[1], said)}{found[1]}:", message)
    return InputError(re.sub(r"<class '(\w+)'>", r"\1", message))


def _in_words(type_: Any) -> str:
    """What values of a type are; nothing where there is no short word for it."""
    inner = get_args(type_)
    if get_origin(type_) is Literal:
        return f"{'one of ' * (len(inner) > 1)}{', '.join(map(repr, inner))}"
    if get_origin(type_) in (Union, UnionType):
        return " or ".join(filter(None, map(_in_words, inner)))
    if get_origin(type_) is tuple:
        return f"[{', '.join(map(_in_words, inner))}]"
    return IN_WORDS.get(type_, "")


def _choices(type_: Any) -> dict[str, str]:
    """How choices are shown that hold commas; by themselves they would be parted by commas."""
    choices = get_args(type_) if get_origin(type_) is Literal else ()
    return {"metavar": f"{{{'|'.join(choices)}}}"} if "," in "".join(choices) else {}
