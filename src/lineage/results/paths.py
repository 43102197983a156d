"""Folders of configs, tables and results: in a checkout, in a wheel, or in a project folder laid over either."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]  # of a checkout; in a wheel it holds none of our files
PACKAGE = Path(__file__).resolve().parents[1]
TRAIN = PACKAGE / "cli" / "train.py"  # `lineage train` as a script, where there is no train.py


def shipping_root() -> Path:
    """The folder of our own conf/ and experiments/: the checkout, or the package where a wheel put them."""
    return ROOT if (ROOT / "conf" / "train.yaml").is_file() else PACKAGE


def project() -> Path:
    """The nearest folder upwards that is a checkout or has configs or tables of its own; else `shipping_root`."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if _is_project(folder)), shipping_root())


def experiments() -> Path:
    """The project's tables, which lie over the shipped ones (`lower_experiments`)."""
    folder = project() / "experiments"
    return folder if folder.is_dir() else shipping_root() / "experiments"


def lower_experiments(folder: Path) -> Path | None:
    """The shipped tables, if `folder` lies over them: it is the project's and has no tiers.yaml of its own."""
    ours, own = shipping_root() / "experiments", experiments()
    over = folder.resolve() == own.resolve() != ours.resolve() and not (folder / "tiers.yaml").is_file()
    return ours if over else None


def own_configs() -> Path | None:
    """A conf/ that lies over the shipped one, or None."""
    folder = project() / "conf"
    return folder if folder.is_dir() and folder.parent != shipping_root() else None


def configs() -> list[Path]:
    """Return the folders of configs, the shipped one first: a file of a later folder replaces one of an earlier."""
    own = own_configs()
    return [shipping_root() / "conf", *([own] if own else [])]


def train_script() -> Path:
    """Return the script of a training: the project's train.py, or `lineage train` as a script."""
    for folder in (project(), shipping_root()):
        if (folder / "train.py").is_file():
            return folder / "train.py"
    return TRAIN


def train_command() -> str:
    """Return the command of a training for people: `python train.py` if it exists here, else `lineage train`."""
    return "python train.py" if Path("train.py").is_file() else "lineage train"


def results() -> Path:
    """Return the default store: ./results, or that of the project if there is none here."""
    here = Path("results")
    return here if here.is_dir() else project() / "results"


def portable(path: Path | str, root: Path) -> str:
    """Return a path for an entry: relative to the checkout or to the home folder if it lies in one of them."""
    absolute = Path(path).absolute()
    for folder, name in ((root.absolute(), ""), (home(), "~")):
        if folder is not None and absolute.is_relative_to(folder):
            return str(Path(name, absolute.relative_to(folder)))
    return str(absolute)


def from_here(path: Path | str) -> Path:
    """Return a path as people type it: relative if it lies below the current folder, else as it is."""
    here = Path.cwd()
    return Path(path).relative_to(here) if Path(path).is_relative_to(here) else Path(path)


def home() -> Path | None:
    """Return the home folder; None without $HOME for a user that the system does not list, as in a container."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def resolve_portable(path: str, root: Path | None = None) -> Path:
    """Return the path on this machine of a portable path."""
    return Path(root or project(), Path(path).expanduser())


def _is_project(folder: Path) -> bool:
    if (folder / "train.py").is_file() and (folder / "experiments").is_dir():
        return True
    groups = [path.name for path in (shipping_root() / "conf").iterdir() if path.is_dir()]
    return any((folder / "conf" / group).is_dir() for group in groups) or any(folder.glob("experiments/*/*.yaml"))
