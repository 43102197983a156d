"""`lineage <command>`: one module of this package per command, imported only when it is called."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TextIO, cast

from lineage.results.disk import explain_for_command
from lineage.results.foreign_text import PrintableStream, show_controls

COMMANDS = {  # name: (what it does, where its main(argv) is)
    "train": ("train, evaluate and log one run; `python train.py` is the same", "lineage.cli.train:main"),
    "table": ("tables of the papers, filled in and judged", "lineage.cli.tables.table:main"),
    "paper": ("what a paper claims, what of it was shown here, what was learned", "lineage.cli.tables.paper:main"),
    "messages": ("a line per message of the papers: what is shown of it here", "lineage.cli.tables.messages:main"),
    "claims": ("run a sample of shown claims again: do they still hold?", "lineage.cli.tables.claims:main"),
    "quote": ("macros with which a text quotes cells of the store", "lineage.cli.tables.quote:main"),
    "check-text": ("do the numbers of a text equal those of the store?", "lineage.cli.tables.check_text:main"),
    "run": ("fill a table: plan, train and test what is missing", "lineage.cli.tables.run:main"),
    "next": ("the runs that settle most claims per hour, as a plan", "lineage.cli.tables.next:main"),
    "lint": ("does each table isolate what it claims to isolate?", "lineage.cli.tables.lint:main"),
    "import": (
        "runs of detectron2, mmdetection, W&B, beside ours",
        "lineage.cli.tables.import_runs:main",
    ),
    "compare": ("two runs or rows: what is different, and what came of it", "lineage.cli.compare:main"),
    "show": ("everything behind one entry", "lineage.cli.show:main"),
    "why": ("what could explain that two entries differ", "lineage.cli.why:main"),
    "store": ("verify, merge or correct the results", "lineage.cli.store:main"),
    "new": ("an ablation table of one's own, from a row and what varies, or from runs", "lineage.cli.tables.new:main"),
    "draft": ("tables typed off papers (JSON) become draft files", "lineage.cli.tables.draft:main"),
    "rerun": ("repeat an entry's run and compare its metrics bit by bit", "lineage.cli.rerun:main"),
    "data": ("make, fetch, check, count and look at datasets", "lineage.cli.data.main:main"),
    "predict": ("pictures and COCO JSON of what a trained model sees", "lineage.cli.predict:main"),
    "explain": ("which pixels a detection's score depends on: maps, a page", "lineage.cli.explain:main"),
    "weights": ("what a file of weights holds; write it for torchvision or detectron2", "lineage.cli.weights:main"),
    "export": ("a trained model as ONNX or torch.export program", "lineage.cli.export:main"),
    "latency": ("milliseconds of one image, median and p95, and watts, as an entry", "lineage.cli.latency:main"),
    "models": ("every model: paper, config, parameters, published numbers", "lineage.cli.models:main"),
    "evaluate": ("score a result file, whoever made it", "lineage.cli.evaluate:main"),
    "calibrate": ("how sure a detector is: map its scores to probabilities, and test it", "lineage.cli.calibrate:main"),
    "report": ("the HTML report of a run", "lineage.cli.report:main"),
    "site": ("static pages that compare all runs of a store", "lineage.cli.site:main"),
    "config": ("what every key of a config is for", "lineage.cli.config:main"),
    "doctor": ("check this machine and this installation", "lineage.cli.doctor:main"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; print the message of an error of ours or of a disk, raise any other."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help", "help"):
        print(usage())
        return 0
    if name not in COMMANDS:
        return _unknown(name)
    if name != "train":  # its progress bar moves the cursor
        _make_output_printable()
    try:
        return _load(COMMANDS[name][1])(arguments[1:]) or 0
    except BrokenPipeError:  # the reader, e.g. `head`, has stopped reading
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:
        if isinstance(error, OSError) and (line := explain_for_command(error, arguments)):
            print(show_controls(line), file=sys.stderr)
            return 1
        if not type(error).__module__.startswith("lineage."):
            raise
        print(show_controls(str(error)), file=sys.stderr)
        return 1


def _make_output_printable() -> None:
    """Print control characters in entries, tables and messages as escapes, if a person reads them in a terminal."""
    if sys.stdout.isatty():
        sys.stdout = cast(TextIO, PrintableStream(sys.stdout))


def usage() -> str:
    commands = "\n".join(f"  {name:<10} {text}" for name, (text, _) in COMMANDS.items())
    head = "lineage COMMAND ...   (`lineage COMMAND --help` says more)"
    return f"{head}\n\n{commands}"


def _load(target: str) -> Callable[[list[str]], int | None]:
    module, _, function = target.partition(":")
    loaded: Callable[[list[str]], int | None] = getattr(import_module(module), function)
    return loaded


def _unknown(name: str) -> int:
    from lineage.tables.suggest import did_you_mean

    print(f"lineage has no command {name!r}. {did_you_mean(name, COMMANDS)}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
