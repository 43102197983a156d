"""The facts of a run beside its numbers: machine, time, commands, config."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from html import escape
from pathlib import PurePath
from typing import Any


def render_facts(entry: Mapping[str, Any]) -> str:
    hardware = entry.get("hardware") or {}
    memory = entry.get("peak_memory")
    speed = entry.get("images_per_second")
    values = {
        "tier": entry.get("tier"),
        "seed": entry.get("seed"),
        "time": _format_duration(float(entry.get("seconds") or 0)),
        "steps": f"{entry.get('steps') or 0:,}",
        "speed": f"{speed:.2f} images per second" if speed else "",
        "memory": f"{memory / 2**30:.2f} GiB at most" if memory else "",
        "parameters": f"{entry['parameters']:,}" if entry.get("parameters") else "",
        "processes": entry.get("processes"),
        "started": entry.get("started"),
        "commit": _format_commit(entry),
        "note": entry.get("note"),
        **{key: value for key, value in hardware.items() if not isinstance(value, dict | list)},
    }
    shown = {key: value for key, value in values.items() if value not in (None, "")}
    items = "".join(f"<div><dt>{escape(key)}</dt><dd>{escape(str(value))}</dd></div>" for key, value in shown.items())
    return f"<dl>{items}</dl>"


def _format_commit(entry: Mapping[str, Any]) -> str:
    changed = " with local changes" if entry.get("dirty") else ""
    return f"{entry['commit'][:12]}{changed}" if entry.get("commit") else ""


def render_deviations(entry: Mapping[str, Any]) -> str:
    """List the overrides of the run, folded: deviations from its row, or those of a free run."""
    changed = entry.get("deviations") or []
    if not changed:
        return ""
    kind = "Deviations from the row" if entry.get("table") else "Overrides"
    return _fold(f"{kind}: {len(changed)}", "\n".join(changed))


def render_commands(entry: Mapping[str, Any]) -> str:
    """Print the command as it was typed, and the one that repeats this run exactly."""
    program, *arguments = map(str, entry.get("command") or ["train.py"])
    lines = [f"python {PurePath(program).name} {shlex.join(arguments)}".rstrip()]
    if entry.get("id"):
        lines.append(f"lineage rerun {entry['id'].rpartition('-')[2]}")
    return f"<pre>{escape(chr(10).join(lines))}</pre>"


def render_details(entry: Mapping[str, Any]) -> str:
    """List config, packages and local changes, folded."""
    parts = {
        "Config": "\n".join(f"{key}={value}" for key, value in flatten(entry.get("config") or {})),
        "Packages": "\n".join(f"{name} {version}" for name, version in (entry.get("packages") or {}).items()),
        "Local changes": entry.get("diff") or "",
    }
    return "".join(_fold(title, text) for title, text in parts.items() if text)


def _fold(title: str, text: str) -> str:
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def flatten(node: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Return (dotted key, value) of every leaf, as they are typed on the command line."""
    if not isinstance(node, Mapping) or not node:
        return [(prefix, node)] if prefix else []
    return [pair for key, value in node.items() for pair in flatten(value, f"{prefix}.{key}" if prefix else str(key))]


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
