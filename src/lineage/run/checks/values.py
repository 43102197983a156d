"""Check the values of a config against the types of the keywords that take them, before anything is built.

Hydra passes any value on, so `model.neck=fpn` would end in "'str' object is not callable".
"""

from __future__ import annotations

import collections.abc
import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from hydra.utils import get_object
from omegaconf import DictConfig

from lineage.config.allowed_targets import check_targets, resolve_node
from lineage.config.build import ConfigError
from lineage.results import paths
from lineage.tables.suggest import nearest

NODES = ("model", "optimizer", "sampling")  # nodes whose values are checked
NAMED = (*NODES, "dataset", "evaluator", "augment", "lr_schedule")  # nodes whose keywords must exist
LEAST = dict.fromkeys(  # keyword -> its least value; with less, a tensor of a later step is empty
    ("size", "upscale", "topk_candidates", "detections_per_img", "batch_size_per_image", "target_sampling_ratio"), 1
)
LEAST |= {"momentum": 0, "weight_decay": 0}
LENGTHS = {"bbox_reg_weights": 4, "betas": 2}  # keyword -> the length of its list


def check_values(config: DictConfig) -> None:
    """Raise ConfigError, which names the key, for the first keyword that does not exist or cannot take its value."""
    for name in NAMED:
        node = resolve_node(config[name]) if config.get(name) is not None else None
        check_targets(node, name)
        if name == "evaluator" and node and "_target_" not in node:
            key = next(iter(node))
            raise ConfigError(f"evaluator.{key}: no evaluator takes it. That of the dataset: dataset.evaluator.{key}")
        for message in find_unknown_keywords(node, name):
            raise ConfigError(message)
        for message in find_wrong_values(node, name) if name in NODES else ():
            raise ConfigError(message)


def find_unknown_keywords(node: Any, key: str) -> Iterator[str]:
    """Yield a message for each key of a node that is no keyword of its class or function, the outermost first."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    target = str(node.get("_target_", "")) if isinstance(node, Mapping) else ""
    keywords = read_keywords(target) if target.startswith("lineage.") else None
    for name, value in items:
        if keywords is not None and name not in keywords and not str(name).startswith("_"):
            close = nearest(str(name), keywords)
            advice = f". Did you mean {key}.{close[0]}?" if close else f": it takes {', '.join(keywords)}"
            yield f"{key}.{name}: {target.rpartition('.')[2]} has no keyword {name}{advice}"
        yield from find_unknown_keywords(value, f"{key}[{name}]" if isinstance(node, list) else f"{key}.{name}")


def find_wrong_values(node: Any, key: str) -> Iterator[str]:
    """Yield a message for each wrong value in a node, the outermost first."""
    if isinstance(node, Mapping):
        target = node.get("_target_")
        hints = read_hints(target) if isinstance(target, str) and target.startswith("lineage.") else {}
        for name, value in node.items():
            # a part that a function gives later, such as the body of a head on C4
            is_given_later = value is None and node.get("_partial_") and _is_part(hints.get(name))
            if name in hints and not is_given_later and not _accepts(hints[name], value):
                yield _explain(f"{key}.{name}", value, hints[name], str(target))
            elif hints and name in LEAST and isinstance(value, int | float) and value < LEAST[name]:
                yield f"{key}.{name}={value}: {name} is {LEAST[name]} or more"
            elif hints and name in LENGTHS and _is_numbers(value) and len(value) != LENGTHS[name]:
                yield f"{key}.{name}={value}: {name} are {LENGTHS[name]} numbers"
            else:
                yield from find_wrong_values(value, f"{key}.{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from find_wrong_values(value, f"{key}[{index}]")


def _is_numbers(value: Any) -> bool:
    """Return whether a value is a list of numbers; a cascade has a list of such lists."""
    return isinstance(value, list) and all(isinstance(number, int | float) for number in value)


@cache
def read_hints(target: str) -> dict[str, Any]:
    """Return the type of each keyword of a class or function; {} if its annotations cannot be read."""
    built = get_object(target)
    try:
        hints = get_type_hints(built.__init__ if inspect.isclass(built) else built)
    except NameError:  # names that are imported for type checkers alone
        return {}
    for hint in [*hints.values()]:  # `**parts: Unpack[RCNNParts]`
        for argument in get_args(hint):
            hints |= get_type_hints(argument) if is_typeddict(argument) else {}
    return hints


@cache
def read_keywords(target: str) -> tuple[str, ...] | None:
    """Return the keywords of a class or function; None if it takes any."""
    built = get_object(target)
    parameters = inspect.signature(built).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):  # `**parts: Unpack[RCNNParts]`
        hints = read_hints(target)
        is_listed = any(is_typeddict(argument) for hint in hints.values() for argument in get_args(hint))
        return tuple(hints) if is_listed else None
    return tuple(parameter.name for parameter in parameters)


def _accepts(hint: Any, value: Any) -> bool:
    """Return whether a value from YAML may be one of a type; parts that are built are nodes."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_accepts(argument, value) for argument in arguments)
    if origin is Literal:
        return value in arguments
    if hint in (int, float):
        return isinstance(value, int | hint) and not isinstance(value, bool)
    if hint in (str, bool, NoneType):
        return isinstance(value, hint)
    if origin is tuple and Ellipsis not in arguments:
        return isinstance(value, list) and len(value) == len(arguments) and all(map(_accepts, arguments, value))
    if origin in (list, collections.abc.Sequence):
        return isinstance(value, list) and all(_accepts(arguments[0], item) for item in value)
    if origin in (dict, collections.abc.Mapping):
        return isinstance(value, dict) and all(_accepts(arguments[1], item) for item in value.values())
    if _is_part(hint):
        return isinstance(value, dict)
    return True


def _is_part(hint: Any) -> bool:
    """Return whether values of a type are built from nodes: instances of classes, and functions."""
    if get_origin(hint) in (Union, UnionType):
        return any(map(_is_part, get_args(hint)))
    is_class = isinstance(hint, type) and hint not in (Any, object, int, float, str, bool, NoneType)
    return get_origin(hint) is collections.abc.Callable or is_class


def _explain(key: str, value: Any, hint: Any, target: str) -> str:
    parent, _, name = key.rpartition(".")
    if isinstance(value, dict) and len(get_args(hint)) == 2:  # one of several parts, such as model.heads
        wrong = next(part for part, item in value.items() if not _accepts(get_args(hint)[1], item))
        return _explain(f"{key}.{wrong}", value[wrong], get_args(hint)[1], target)
    if not _is_part(hint):
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        close = nearest(str(value), map(str, choices))
        advice = f". Did you mean {' or '.join(close)}?" if close else ""
        return f"{key}={_write(value)}: {name} of {target.rpartition('.')[2]} is {_name(hint)}{advice}"
    if value is None:
        remedy = f"remove it by ~{key}" if parent.rpartition(".")[2] == "heads" else f"leave {key}=null out"
        return f"{key}=null: {parent} is not built without; {remedy}"
    options = [folder / name / f"{value}.yaml" for folder in paths.configs()]
    advice = (
        f"the option {value} of the group {name} goes there as +{name}@{key}={value}"
        if any(path.is_file() for path in options)
        else f"an option of a group goes there as +{name}@{key}=OPTION, and there is no conf/{name}/{value}.yaml"
    )
    return f"{key}={_write(value)}: {name} is a node with a _target_, not a value; {advice}. Its keys: {key}.KEY=VALUE"


def _write(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)


def _name(hint: Any) -> str:
    """Return a type as a person says it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(map(_name, arguments))
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", NoneType: "null"}
    if hint in names:
        return names[hint]
    if origin is Literal:
        *others, last = map(_write, arguments)
        return f"{', '.join(others)} or {last}" if others else last
    if origin is tuple:
        return f"a list of {len(arguments)} numbers"
    if origin in (list, collections.abc.Sequence):
        inner = arguments[0]
        return "a list of lists" if get_origin(inner) is Sequence or get_origin(inner) is list else "a list"
    return "a node of keys and values"
