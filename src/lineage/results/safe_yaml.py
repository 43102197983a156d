"""Limits on YAML of somebody else, checked before it is loaded.

A line of 50,000 brackets overflows the stack of a loader; ten anchors, each ten times the one before, are a structure
of 10^10 values for whoever walks it.
"""

from __future__ import annotations

import yaml

DEEPEST = 100  # nodes within nodes
MOST_NODES = 1_000_000  # with every alias written out
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster where libyaml is built in


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
