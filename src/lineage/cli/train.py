"""`lineage train`: train, evaluate and log one row of an ablation table; `python train.py` is the same.

conf/ is the shipped one, with a project's own conf/ and experiments/ laid over it (results/paths.py).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from io import StringIO
from pathlib import Path

from lineage.results import paths

FLAGS = (
    "--help", "--hydra-help", "--version", "--cfg", "--resolve", "--package", "--run", "--multirun", "--info",
    "--shell-completion", "--config-path", "--config-name", "--config-dir", "--experimental-rerun",
    "-h", "-c", "-p", "-r", "-m", "-sc", "-cp", "-cn", "-cd", "-i",
)  # fmt: skip
WITH_VALUE = (
    "--cfg", "--package", "--config-path", "--config-name", "--config-dir", "--experimental-rerun",
    "-c", "-p", "-cp", "-cn", "-cd",
)  # fmt: skip
INFO = ("--info", "-i")
TOPICS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")  # that may follow them


def main(argv: list[str]) -> int:
    """Run Hydra's application; `argv` are its overrides and flags."""
    if {"-h", "--help"} & set(argv):
        from lineage.config.help import usage

        print(usage())
        return 0
    if message := explain_unknown_flag(argv) or explain_flags(put_flags_last(argv)):
        print(message, file=sys.stderr)
        return 2
    import hydra  # after --help, which answers in a tenth of the time

    import lineage.config.schema  # noqa: F401  registers the schema that conf/train.yaml starts from
    from lineage.config.default_dataset import add_default_dataset
    from lineage.config.entry_overrides import resolve_entries
    from lineage.config.friendly_errors import run_with_friendly_errors
    from lineage.config.resume_overrides import extend_command, resolve_auto

    argv = resolve_entries(resolve_auto(argv))
    argv = put_flags_last(extend_command(add_default_dataset(expand_finetune(argv))))
    sys.argv = [str(paths.train_script()), *argv]  # processes of a sweep and of several devices start this script
    application = hydra.main(version_base="1.3", config_path=str(paths.shipping_root() / "conf"), config_name="train")
    run_with_friendly_errors(application(_run))
    return 0


def expand_finetune(argv: list[str]) -> list[str]:
    """Return the command with choices in place of finetune=FOLDER; print what is wrong with the folder and exit."""
    if not any(text.startswith("finetune") for text in argv):
        return argv
    from lineage.config.friendly_errors import explain, is_user_error
    from lineage.run.finetune.expand import expand_command  # imports torch

    try:
        return expand_command(argv)
    except Exception as error:
        if not is_user_error(error):
            raise
        raise SystemExit(explain(error, paths.shipping_root(), argv)) from None


def explain_unknown_flag(argv: Sequence[str]) -> str | None:
    """Return a message with the nearest flag of Hydra for the first word that is none, or None."""
    words = (text.partition("=")[0] for text in argv if text.startswith("-"))
    unknown = next((word for word in words if not any(flag.startswith(word) for flag in FLAGS)), None)
    if unknown is None:
        return None
    from lineage.tables.suggest import did_you_mean

    return f"there is no option {unknown}. {did_you_mean(unknown, FLAGS)} Settings are KEY=VALUE; --help lists them"


def put_flags_last(argv: Sequence[str]) -> list[str]:
    """Return the overrides, then the flags with their values: Hydra refuses a command with overrides on both sides."""
    overrides: list[str] = []
    flags: list[str] = []
    for text, before in zip(argv, ["", *argv], strict=False):
        is_flag = text.startswith("-") or _takes_next(before, text)
        (flags if is_flag else overrides).append(text)
    return [*overrides, *flags]


def _takes_next(flag: str, text: str) -> bool:
    """Return whether the word after a flag is its value. A flag may be cut short, as --conf."""
    names = {name for name in FLAGS if name == flag or (flag.startswith("--") and name.startswith(flag))}
    return not names.isdisjoint(WITH_VALUE) or (not names.isdisjoint(INFO) and text in TOPICS)


def explain_flags(argv: Sequence[str]) -> str | None:
    """Return what Hydra's parser says is wrong with the flags, without its usage, or None."""
    from hydra._internal.utils import get_args_parser

    text = StringIO()
    try:
        with redirect_stderr(text):
            get_args_parser().parse_args(list(argv))
    except SystemExit as end:
        if not end.code:  # --version has printed it
            raise
        return f"{text.getvalue().rpartition(' error: ')[2].strip()}. `python train.py --hydra-help` lists the flags"
    return None


@contextmanager
def leave_no_empty_folder(folder: Path) -> Iterator[None]:
    """Remove the folder that Hydra made for a run, if the run is refused before it wrote anything there."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # not empty
            folder.rmdir()
        raise


def _run(config: object) -> None:
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import DictConfig

    from lineage.config import validate
    from lineage.config.friendly_errors import friendly_errors

    assert isinstance(config, DictConfig)
    overrides = list(HydraConfig.get().overrides.task)
    with friendly_errors(), leave_no_empty_folder(Path(HydraConfig.get().runtime.output_dir)):
        validate.refuse_numbers_as_switches(overrides)
        validate.check(config)
        from lineage.run.train import run  # imports torch: `--cfg job` and typos answer without it

        run(config, overrides)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
