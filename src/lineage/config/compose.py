"""A config that does not compose, explained: what was wrong on the command line and the nearest names that exist.

Hydra says "Could not override 'schedule.stepss'. To append to your config use +schedule.stepss=3", which is the last
thing a person with a typo wants to do.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lineage.results import paths
from lineage.results.overrides import Override
from lineage.tables import read, tiers
from lineage.tables.suggest import did_you_mean, nearest_key

RAW = "HYDRA_FULL_ERROR"  # Hydra's switch for exceptions as they are
OURS = "LINEAGE_EXPLAINS"  # says that the switch was set here and not by the user; jobs and ranks inherit both

UNKNOWN_KEY = re.compile(
    r"Could not override '(?P<set>[^']+)'|Could not delete from config. '(?P<delete>[^']+)' does not exist"
    r"|config group '(?P<group>[^']+)' does not exist"
)


def explained(main: Callable[[], Any]) -> None:
    """Run a `hydra.main` function; an error about the user's input ends in one message without a traceback."""
    if os.environ.get(RAW) == "1" and OURS not in os.environ:
        main()
        return
    os.environ[RAW] = os.environ[OURS] = "1"  # else Hydra prints and exits itself
    try:
        main()
    except Exception as error:
        if not _for_people(error):
            _print_from(main, error)
            raise SystemExit(1) from None
        raise SystemExit(explain(error, _root(), sys.argv[1:])) from None


@contextmanager
def for_people() -> Iterator[None]:
    """Around the job itself: before any other exception Hydra prints all overrides, which buries the message."""
    try:
        yield
    except Exception as error:
        if OURS not in os.environ or not _for_people(error):
            raise
        raise SystemExit(explain(error, _root(), sys.argv[1:])) from None


def _root() -> Path:
    """The folder that holds the conf/ of the script that runs."""
    beside = Path(sys.argv[0]).resolve().parent
    return beside if (beside / "conf").is_dir() else paths.shipped()


def explain(error: Exception, root: Path, arguments: list[str]) -> str:
    """What a person should read; `root` holds conf/ and experiments/."""
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} is not KEY=VALUE: {_line(error, 1)}. Quote special characters: 'key=\"a b\"'"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing_option(error, root)
    if found := UNKNOWN_KEY.match(str(error)) or UNKNOWN_KEY.search(str(error)):
        return _unknown_key(next(filter(None, found.groups())), root, arguments)
    if isinstance(error.__cause__, OmegaConfBaseException):
        return f"{_line(error)}: {_line(error.__cause__)}"
    return str(error).strip()


def _for_people(error: Exception) -> bool:
    """Hydra's errors are about the input, and so is every exception class that this project defines."""
    ours = type(error).__module__.startswith(("lineage.", "hydra_plugins.lineage."))
    return ours or isinstance(error, HydraException | OmegaConfBaseException)


def _print_from(main: Callable[[], Any], error: Exception) -> None:
    """The traceback without Hydra's own frames: it starts at the decorated function, where it gets that far."""
    code = getattr(main, "__wrapped__", main).__code__
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code is not code:
        trace = trace.tb_next
    traceback.print_exception(error.with_traceback(trace or error.__traceback__))


def _missing_option(error: MissingConfigException, root: Path) -> str:
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    if group.startswith("experiment") or option == "experiment":
        return _missing_row(f"{group}/{option}".removeprefix("experiment/"), root / "experiments")
    if not error.options:
        return str(error).partition("\nConfig search path")[0].strip()
    parent = _line(error).partition(":")[0].removeprefix("In ").strip("'")
    where = "" if parent == "train" else f" (asked for by {parent})"
    return f"{group}={option}: {group} has no option {option!r}{where}. {did_you_mean(option, error.options)}"


def _missing_row(path: str, experiments: Path) -> str:
    """Name the part that is wrong: the table, or the row of it."""
    tier, _, rest = path.partition("/")
    prefix, path = (f"{tier}/", rest) if tier in tiers.load_tiers(experiments) else ("", path)
    table, _, row = path.rpartition("/")
    tables = read.list_tables(experiments)
    if table in tables:
        rows = read.load_table(experiments, table).rows
        return f"experiment={prefix}{path}: table {table} has no row {row!r}. {did_you_mean(row, rows)}"
    if path in tables:
        whole = f"-m '+experiment/{prefix}{path}=glob(*)'"
        return f"experiment={prefix}{path} is a table; name a row of it, or all of them: {whole}"
    return f"experiment={prefix}{path}: there is no table {table!r}. {did_you_mean(table, tables)}"


def _unknown_key(key: str, root: Path, arguments: list[str]) -> str:
    known = list(_keys(root / "conf", arguments))
    part = _first_unknown(key, known)
    close = nearest_key(part, known)
    guess = f" Did you mean {' or '.join(close)}?" if close else ""
    named = "" if part == key else f" (in {key})"
    return (
        f"there is no key {part!r}{named}.{guess}\n"
        f"`python train.py --cfg job` prints all keys; `+{key}=...` would add a new one."
    )


def _first_unknown(key: str, known: list[str]) -> str:
    """`model.hads.mask.size` -> `model.hads`: the shortest part that does not exist."""
    parts = key.split(".")
    heads = [".".join(parts[: i + 1]) for i in range(len(parts))]
    return next((head for head in heads if head not in known), key)


def _keys(conf: Path, arguments: list[str]) -> Iterator[str]:
    """Every key of the config that the command line chooses, without the values it sets."""
    typed = [Override.parse(text) for text in arguments]
    chosen = [str(replace(override, value=override.options[0])) for override in typed if _chooses(override, conf)]
    with initialize_config_dir(str(conf), version_base="1.3"):
        try:
            config = compose("train", chosen)
        except HydraException:  # a choice is wrong as well: the default config is the best that can be asked
            config = compose("train")
    yield from _flat(OmegaConf.to_container(config, resolve=False), "")


def _chooses(override: Override, conf: Path) -> bool:
    return override.value is not None and (override.name == "experiment" or (conf / override.name).is_dir())


def _flat(node: Any, prefix: str) -> Iterator[str]:
    pairs = node.items() if isinstance(node, dict) else ()
    for name, value in pairs:
        yield f"{prefix}{name}"
        yield from _flat(value, f"{prefix}{name}.")


def _line(error: BaseException, number: int = 0) -> str:
    return (str(error).splitlines() or [""])[number]


def composed(root: Path, overrides: list[str]) -> DictConfig:
    """The conf/ of a checkout with overrides, outside of a run. Raises ConfigError, which explains a typo."""
    import lineage.config.schema  # noqa: F401  registers the schema
    from lineage.config.build import ConfigError

    try:
        with initialize_config_dir(str(root / "conf"), version_base="1.3"):
            return compose("train", overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, root, overrides)) from error
