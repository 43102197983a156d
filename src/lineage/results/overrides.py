"""Hydra's overrides as data: `+model.heads.mask.size=28`, `roi@other=pool`, `~tta`, `hydra/launcher=local`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from lineage.results import renames

SIGNS = re.compile(r"\+\+|\+|~|")


@dataclass(frozen=True, slots=True)
class Override:
    """One override. A config group may be named like a key, so only `conf/` says which of the two a name is."""

    sign: str  # "" changes, "+" adds, "++" does either, "~" removes
    name: str  # a dotted key or a config group as typed: "model.heads", "hydra/launcher"
    package: str | None = None  # where a group's option goes: `roi@other=pool`
    value: str | None = None  # what follows the first "="; None without one

    @classmethod
    def parse(cls, text: str) -> Override:
        """Split an override. Hydra checks the syntax; this accepts everything that Hydra does."""
        matched = SIGNS.match(text)
        sign = matched[0] if matched else ""
        left, equals, value = text[len(sign) :].partition("=")
        name, at, package = left.partition("@")
        return cls(sign, name, package if at else None, value if equals else None)

    def __str__(self) -> str:
        package = "" if self.package is None else f"@{self.package}"
        value = "" if self.value is None else f"={self.value}"
        return f"{self.sign}{self.name}{package}{value}"

    @property
    def key(self) -> str:
        """The name with dots: `hydra/launcher` is `hydra.launcher`."""
        return self.name.replace("/", ".")

    @property
    def options(self) -> list[str]:
        """The values of a sweep: `a,b` is two. Brackets and quotes are not looked into."""
        return [] if self.value is None else self.value.split(",")

    def today(self, config: Any) -> Override:
        """Translate former names; `config` (in the names of today) shows which class a key belongs to."""
        group = renames.group_today(self.name)
        if group != self.name or "/" in self.name or self.package is not None:
            return self._option_today(group)
        name = renames.key_today(self.name, config)
        if name.rpartition(".")[2] == renames.TARGET and self.value:
            return replace(self, name=name, value=renames.target_today(self.value))
        return replace(self, name=name)._option_today(name)

    def _option_today(self, group: str) -> Override:
        if group not in renames.renames().options or self.value is None:
            return replace(self, name=group)
        options = [renames.option_today(group, option.strip()) for option in self.options]
        return replace(self, name=group, value=",".join(options))


def shorten_key(name: str, names: Iterable[str]) -> str:
    """Return the shortest end of a key by which it differs from the others: `val.length` beside `train.length`."""
    parts = name.split(".")
    others = [f".{other}" for other in names if other != name]
    ends = [".".join(parts[-length:]) for length in range(1, len(parts) + 1)]
    return next((end for end in ends if not any(other.endswith(f".{end}") for other in others)), name)


def overrides_today(overrides: Iterable[str], config: Any) -> list[str]:
    """Translate the former names in overrides; what is no override, such as `-m`, stays as it is."""
    return [text if text.startswith("-") else str(Override.parse(text).today(config)) for text in overrides]


def has_former_name(overrides: Iterable[str]) -> bool:
    """Return whether one of the overrides may hold a former name; which, only its config says."""
    former = renames.former_words()
    words = (word for text in overrides for word in re.findall(r"\w+", text))
    return any(word in former for word in words)


def quote(value: object) -> str:
    """Return a value of an override, in quotes if Hydra would read it as something else."""
    text = str(value)
    is_word = re.fullmatch(r"[A-Za-z_][\w./:+-]*|\.{0,2}/[\w./+-]*|\.", text, re.ASCII) is not None
    if is_word and text.lower() not in ("true", "false", "null", "none", "inf", "nan"):
        return text
    escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), text)
    return f"'{escaped}'"
