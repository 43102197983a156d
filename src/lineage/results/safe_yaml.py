"""Limits on YAML of somebody else, checked before it is loaded.

A line of 50,000 brackets overflows the stack of a loader; ten anchors, each ten times the one before, are a structure
of 10^10 values for whoever walks it.
"""

from __future__ import annotations

from typing import Any

import yaml

DEEPEST = 100  # nodes within nodes
MOST_NODES = 1_000_000  # with every alias written out
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster where libyaml is built in


class UniqueKeyLoader(LOADER):
    """Loader that raises for a mapping with a key that stands twice; a plain one would keep the last of both."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in lines:
                twice = f"the key {key.value!r} stands twice, first on line {lines[key.value]}"
                raise yaml.MarkedYAMLError(problem=twice, problem_mark=key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                lines[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


class StructureError(yaml.YAMLError):
    """YAML that is nested too deeply, or too large with its aliases written out."""


def check_structure(text: str) -> None:
    """Raise StructureError for YAML beyond the limits, YAMLError for what is no YAML."""
    sizes: dict[str, int] = {}  # anchor -> nodes below it, aliases written out
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]  # anchor and nodes so far of the nodes around
    for event in yaml.parse(text, Loader=LOADER):
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((anchor, 1))
            size = 0
        elif isinstance(event, yaml.CollectionEndEvent):
            name, size = open_nodes.pop()
            sizes |= {name: size} if name else {}
        elif isinstance(event, yaml.AliasEvent):
            size = sizes.get(str(anchor), MOST_NODES)  # of a node that is still open: it would hold itself
        else:
            size = int(isinstance(event, yaml.ScalarEvent))
            sizes |= {anchor: size} if anchor else {}
        name, before = open_nodes[-1]
        open_nodes[-1] = (name, before + size)
        if len(open_nodes) > DEEPEST:
            raise StructureError(f"it is nested more than {DEEPEST} deep")
        if before + size >= MOST_NODES:
            raise StructureError(f"its aliases stand for more than {MOST_NODES:,} values, or hold themselves")


def describe_yaml_error(error: yaml.YAMLError) -> str:
    """Return on one line what is wrong and in which line of the text."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    line, start = error.problem_mark.line, error.context_mark
    context = f" {error.context}" if error.context else ""
    begin = f", which begins on line {start.line + 1}" if context and start and start.line != line else ""
    hint = "; a tab? YAML is indented by spaces" if "cannot start any token" in str(error.problem) else ""
    return f"line {line + 1}: {error.problem}{context}{begin}{hint}"
