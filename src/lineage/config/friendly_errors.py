"""Messages for a config that does not compose: the wrong name, and its name of today or the nearest name.

Hydra's own message, "Could not override 'schedule.stepss'. To append to your config use +schedule.stepss=3", answers a
typo with a way to keep it.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from lineage.config import foreign_keys, validate
from lineage.config.build import explain_interpolation
from lineage.config.hydra_scope import initialize_hydra
from lineage.config.lost_process import explain_lost_process
from lineage.results import disk, paths
from lineage.results.overrides import Override
from lineage.results.renames import option_today
from lineage.tables import read, tiers
from lineage.tables.suggest import did_you_mean, nearest_key

RAW = "HYDRA_FULL_ERROR"  # Hydra's switch for exceptions as they are
OURS = "LINEAGE_EXPLAINS"  # says that the switch was set here and not by the user; jobs and ranks inherit both

FINETUNE_KEYS = ("finetune", "finetune.anchors")  # what they stand for replaces them before Hydra reads the command
TYPED_ONLY = ("experiment", *FINETUNE_KEYS)  # names of a command that no config has
NOT_IN_SCHEMA = re.compile(r"Key '[^']+' not in '\w+'\s+full_key: (?P<key>\S+)")
EXTRAS = {"hydra/sweeper=optuna": "search"}  # options that come with a package of an extra
MERGING = "Error merging override "
OF_TYPE = re.compile(r".*\b(Float|Integer|bool|ListConfig)\b")
TYPES = {"Float": "a number", "Integer": "a whole number", "bool": "true or false", "ListConfig": "a list, as [6,8]"}
OF_ROW = re.compile(  # a key that a row of a table sets, where Hydra names the file in place of the override
    r"Value '(?P<value>.*)' of type '\w+' could not be converted to (?P<type>Float|Integer|bool)"
    r"\s+full_key: (?P<key>\S+)"
)
UNKNOWN_KEY = re.compile(
    r"Could not override '(?P<set>[^']+)'|Could not delete from config. '(?P<delete>[^']+)' does not exist"
    r"|config group '(?P<group>[^']+)' does not exist"
)


def run_with_friendly_errors(main: Callable[[], Any]) -> None:
    """Run a `hydra.main` function. An error in the user's input ends in one message without a traceback."""
    if os.environ.get(RAW) == "1" and OURS not in os.environ:
        main()
        return
    os.environ[RAW] = os.environ[OURS] = "1"  # else Hydra prints and exits itself
    try:
        main()
    except Exception as error:
        if not is_user_error(error):
            _print_from(main, error)
            raise SystemExit(1) from None
        raise SystemExit(explain(error, _root(), sys.argv[1:])) from None
    except KeyboardInterrupt:  # the run has said how it goes on
        raise SystemExit(128 + signal.SIGINT) from None


@contextmanager
def friendly_errors() -> Iterator[None]:
    """Catch errors in the user's input inside the job: else Hydra prints all overrides before the message."""
    try:
        yield
    except Exception as error:
        if OURS not in os.environ or not is_user_error(error):
            raise
        raise SystemExit(explain(error, _root(), sys.argv[1:])) from None


def _root() -> Path:
    """Return the folder that holds the conf/ of the script that runs."""
    beside = Path(sys.argv[0]).resolve().parent
    return beside if (beside / "conf").is_dir() else paths.shipping_root()


def explain(error: Exception, root: Path, arguments: list[str]) -> str:
    """Return the message for an error; `root` holds conf/ and experiments/."""
    if line := disk.explain_for_run(error, arguments) or explain_lost_process(error):
        return line
    if isinstance(error, OverrideParseException):
        if not error.override or "=" not in error.override:
            return f"{error.override!r} is not KEY=VALUE: it has no =. Write KEY=VALUE without blanks around the ="
        return f"{error.override!r} is not KEY=VALUE: {_explain_syntax(error)}. Quote special characters: 'key=\"a b\"'"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing_option(error, root)
    if is_hydra_type_error(error):
        return _wrong_option(error, root, arguments)
    if match := UNKNOWN_KEY.match(str(error)) or UNKNOWN_KEY.search(str(error)):
        return _unknown_key(next(filter(None, match.groups())), root, arguments)
    if match := NOT_IN_SCHEMA.search(str(error)):
        return f"{_line(error).partition(':')[0]}: {_unknown_key(match['key'], root, arguments)}"
    if isinstance(error.__cause__, OmegaConfBaseException):
        return _wrong_type(_line(error), error.__cause__)
    if match := OF_ROW.search(str(error)):
        return f"{match['key']}={match['value']}: {match['key']} is {TYPES[match['type']]}"
    if isinstance(error, InterpolationResolutionError):
        return explain_interpolation(error)
    return str(error).strip()


def is_user_error(error: Exception) -> bool:
    """Return whether one message is enough: errors of Hydra, OmegaConf, this project, a full disk, a lost process."""
    ours = type(error).__module__.startswith(("lineage.", "hydra_plugins.lineage."))
    theirs = isinstance(error, HydraException | OmegaConfBaseException) or is_hydra_type_error(error)
    return ours or theirs or (disk.explain(error) or explain_lost_process(error)) is not None


def is_hydra_type_error(error: Exception) -> bool:
    """Return whether Hydra itself raised a plain ValueError or TypeError, as it does for an option that is no word."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    is_plain = type(error) in (ValueError, TypeError)
    return is_plain and bool(last) and f"{os.sep}hydra{os.sep}_internal{os.sep}" in last[0].filename


def _print_from(main: Callable[[], Any], error: Exception) -> None:
    """Print the traceback from the decorated function on, without Hydra's own frames."""
    code = getattr(main, "__wrapped__", main).__code__
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code is not code:
        trace = trace.tb_next
    traceback.print_exception(error.with_traceback(trace or error.__traceback__))


def _missing_option(error: MissingConfigException, root: Path) -> str:
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    if group.startswith("experiment") or option == "experiment":
        return _missing_row(f"{group}/{option}".removeprefix("experiment/"), root / "experiments")
    if not error.options and (files := sorted((root / "conf" / group).glob("*.yaml"))):
        return f"{group}=[{option}]: {group} has no option {option!r}. {did_you_mean(option, [f.stem for f in files])}"
    if not error.options:
        return str(error).partition("\nConfig search path")[0].strip()
    if extra := EXTRAS.get(f"{group}={option}"):
        return f"{group}={option} needs the extra {extra}: pip install -e '.[{extra}]'"
    parent = _line(error).partition(":")[0].removeprefix("In ").strip("'")
    where = "" if parent == "train" else f" (in the defaults of {parent})"
    if (today := option_today(group, option)) in error.options:
        return f"{group}={option}: the option {option!r} of {group} is now {today!r}{where}. Write {group}={today}"
    return f"{group}={option}: {group} has no option {option!r}{where}. {did_you_mean(option, error.options)}"


def _wrong_option(error: Exception, root: Path, arguments: list[str]) -> str:
    """Return the message for an option of a config group that is no word; Hydra's own does not name it."""
    for argument in arguments:
        with suppress(HydraException):
            override = OverridesParser.create().parse_override(argument)
            group = override.key_or_group
            if not _is_words(override.value()) and (root / "conf" / group).is_dir():
                return f"{argument}: {group} is a config group, whose options are words" if group else _no_key(argument)
    return str(error)


def _is_words(value: Any) -> bool:
    """Return whether a value can name options: a word, or a list of words."""
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(option, str) for option in value))


def _wrong_type(line: str, cause: OmegaConfBaseException) -> str:
    """Return the message for a value of another type than its key has: what the key takes, if that is simple."""
    match = OF_TYPE.match(_line(cause))
    if match is None or not line.startswith(MERGING):
        return f"{line}: {_line(cause)}"
    override = line.removeprefix(MERGING)
    return f"{override}: {cause.full_key or override.partition('=')[0].lstrip('+')} is {TYPES[match[1]]}"


def _no_key(argument: str) -> str:
    return f"{argument!r} is not KEY=VALUE: it has no key"


def _missing_row(path: str, experiments: Path) -> str:
    """Return which part is wrong: the table, or the row of it."""
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
    conf = root / "conf"
    config = _compose_choices(conf if (conf / "train.yaml").is_file() else paths.shipping_root() / "conf", arguments)
    if renamed := _explain_renamed(key, arguments, config):
        return renamed
    if explanation := foreign_keys.explain(key):
        return f"{explanation}\n`{paths.train_command()} --cfg job` prints all keys."
    keys = list(_flat(config, ""))
    part = _first_unknown(key, keys)
    close = nearest_key(part, [*keys, *TYPED_ONLY])
    guess = f" Did you mean {' or '.join(close)}?" if close else ""
    named = "" if part == key else f" (in {key})"
    add = "" if key.rpartition(".")[0] in validate.KEYS else f"; `+{key}=...` would add a new one"
    return f"there is no key {part!r}{named}.{guess}\n`{paths.train_command()} --cfg job` prints all keys{add}."


def _explain_renamed(key: str, arguments: list[str], config: dict[str, Any]) -> str | None:
    """Return the message for a former name, with the override as it is written today."""
    typed = [override for override in map(Override.parse, arguments) if override.name == key]
    former = typed[0] if typed else Override("", key)
    today = former.today(config)
    written = f": write {today}" if typed else ""
    return None if today == former else f"{key} is now {today.name}{written}"


def _first_unknown(key: str, keys: list[str]) -> str:
    """`model.hads.mask.size` -> `model.hads`: the shortest part that does not exist."""
    parts = key.split(".")
    heads = [".".join(parts[: i + 1]) for i in range(len(parts))]
    return next((head for head in heads if head not in keys), key)


def _compose_choices(conf: Path, arguments: list[str]) -> dict[str, Any]:
    """Compose the options that the command line chooses, without the keys it sets."""
    typed = [Override.parse(text).today({}) for text in arguments]
    chosen = [str(replace(override, value=override.options[0])) for override in typed if _chooses(override, conf)]
    with initialize_hydra(conf):
        try:
            config = compose("train", chosen)
        except HydraException:  # a choice is wrong as well: the default config is the best that can be asked
            config = compose("train")
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return {str(name): value for name, value in plain.items()}


def _chooses(override: Override, conf: Path) -> bool:
    return override.value is not None and (override.name == "experiment" or (conf / override.name).is_dir())


def _flat(node: Any, prefix: str) -> Iterator[str]:
    pairs = node.items() if isinstance(node, dict) else ()
    for name, value in pairs:
        yield f"{prefix}{name}"
        yield from _flat(value, f"{prefix}{name}.")


def _explain_syntax(error: OverrideParseException) -> str:
    """Return what Hydra says is wrong: the character that it cannot read and marks by a caret, or its sentence."""
    lines = [line for line in str(error).splitlines() if not line.startswith(("Error parsing", "See https"))]
    if len(lines) > 1 and lines[1].strip() == "^":
        return f"{lines[0][lines[1].index('^')]!r} is read only in quotes"
    return lines[0] if lines else type(error).__name__


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]
