"""Where a checkout keeps its tables and its results, from wherever the command was called."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]  # of the checkout: conf/, experiments/ and the commit


def project() -> Path:
    """The nearest folder upwards that holds train.py and experiments/; else the one this package was installed from."""
    here = Path.cwd()
    for folder in (here, *here.parents, ROOT):
        if (folder / "train.py").is_file() and (folder / "experiments").is_dir():
            return folder
    return here


def results() -> Path:
    """A run writes to ./results unless told otherwise; from elsewhere it is the project's store that is meant."""
    here = Path("results")
    return here if here.is_dir() else project() / "results"


def portable(path: Path | str, root: Path) -> str:
    """A path as an entry keeps it: relative to the checkout, or to the home folder, where it lies in one of them."""
    absolute = Path(path).absolute()
    for folder, name in ((root.absolute(), ""), (Path.home(), "~")):
        if absolute.is_relative_to(folder):
            return str(Path(name, absolute.relative_to(folder)))
    return str(absolute)


def found(path: str, root: Path | None = None) -> Path:
    """Where a portable path leads here."""
    return Path(root or project(), Path(path).expanduser())
