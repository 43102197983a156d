"""Damage to inputs, drawn from a seed: of bytes, and of the structure of JSON and YAML."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 1e308, -1e308, 1e-320, 0.5, float("nan"), float("inf"), "", " ",
    "0", "17", "17.0", "nan", "x" * 2000, "../../..", "/etc/passwd", "\x1b[31m", "\x00", "\ud800", "ä", [], [[]],
    [None], {}, {"a": 1}, {"_target_": "os.system"}, [1, 2], [1e308] * 4, [0, 0, 0, 0], [-5, -5, 3, 3],
    {"size": [4, 4], "counts": "x"},
)  # fmt: skip
DEPTH = 3000  # brackets within brackets


def damage_bytes(data: bytes, chance: random.Random) -> bytes:
    """Flip, remove, repeat, insert or cut bytes, once to four times."""
    content = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(content) + 1)
        length = chance.choice((1, 1, 1, 2, 8, 64))
        kind = chance.randrange(6)
        if kind == 0 and start < len(content):
            content[start] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del content[start : start + length]
        elif kind == 2:
            content[start:start] = content[start : start + length]
        elif kind == 3:
            content[start:start] = chance.randbytes(length)
        elif kind == 4:
            content[start : start + length] = bytes(length)
        elif chance.random() < 0.3:
            del content[start:]
    return bytes(content)


def damage_text(text: str, chance: random.Random) -> str:
    """Replace a number or a word of a text by another one, else damage its characters."""
    words = text.split(" ")
    position = chance.randrange(len(words))
    words[position] = str(chance.choice(VALUES))
    if chance.random() < 0.5:
        return " ".join(words)
    return damage_bytes(text.encode(), chance).decode(errors="surrogateescape")


def damage_tree(tree: Any, chance: random.Random) -> Any:
    """Replace, remove, rename, repeat or wrap one to three nodes of a tree of dicts and lists."""
    tree = copy.deepcopy(tree)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if not isinstance(tree, dict | list) or not tree:
            return tree
        node, key = choose_node(tree, chance)
        kind = chance.randrange(8)
        if kind == 0:
            del node[key]
        elif kind == 1 and isinstance(node, dict):
            node[chance.choice(("", "id", "x" * 300, f"{key} "))] = node.pop(key)
        elif kind == 2 and isinstance(node, list):
            node.insert(chance.randrange(len(node) + 1), copy.deepcopy(node[key]))
        elif kind == 3:
            node[key] = [node[key]]
        elif kind == 4 and isinstance(node[key], int | float):
            node[key] = node[key] * chance.choice((-1, 0, 0.5, 2, 1000, 10**12))
        elif kind == 5 and isinstance(node[key], str):
            node[key] = damage_text(node[key], chance)
        else:
            node[key] = copy.deepcopy(chance.choice(VALUES))
    return tree


def damage_xml(text: str, chance: random.Random) -> bytes:
    """Replace the text of an element, or remove, repeat or rename it, once to three times."""
    root = ElementTree.fromstring(text)
    for _ in range(chance.choice((1, 1, 2, 3))):
        parent = chance.choice([element for element in root.iter() if len(element)] or [root])
        if not len(parent):
            break
        child = parent[chance.randrange(len(parent))]
        kind = chance.randrange(6)
        if kind == 0:
            parent.remove(child)
        elif kind == 1:
            parent.append(copy.deepcopy(child))
        elif kind == 2:
            child.tag = chance.choice(("xmin", "object", "x"))
        else:
            child.text = chance.choice((str(chance.choice(VALUES)), f" {child.text}\n", "1e400", "-1", "7.5", "cat"))
    return ElementTree.tostring(root, encoding="unicode").encode(errors="surrogatepass")


def choose_node(tree: Any, chance: random.Random) -> tuple[Any, Any]:
    """Return a container of the tree and a key of it; the deeper, the likelier."""
    node = tree
    while True:
        key = chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
        child = node[key]
        if not isinstance(child, dict | list) or not child or chance.random() < 0.07:
            return node, key
        node = child


def damage_document(
    data: bytes, chance: random.Random, load: Callable[[bytes], Any] = json.loads,
    dump: Callable[[Any], str] = json.dumps,
) -> bytes:  # fmt: skip
    """Damage the bytes of a document, or its tree, or nest it deep."""
    kind = chance.random()
    if kind < 0.35:
        return damage_bytes(data, chance)
    tree = load(data)
    if kind < 0.40:
        node, key = choose_node(tree, chance)
        node[key] = "DEEP"
        opening, closing = chance.choice((("[", "]"), ('{"a":', "}")))
        return dump(tree).replace('"DEEP"', "DEEP").replace("DEEP", opening * DEPTH + "1" + closing * DEPTH).encode()
    return dump(damage_tree(tree, chance)).encode(errors="surrogatepass")
