"""The override finetune=FOLDER, replaced by the choices that it stands for.

What runs, and what an entry and a run folder record, is the longer command: a rerun or a resumed run repeats it, and
digests are those of the same command typed by hand.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torchvision

from lineage.config.build import ConfigError
from lineage.config.friendly_errors import FINETUNE_KEYS
from lineage.results.count_noun import count_noun
from lineage.results.overrides import Override, quote
from lineage.run.finetune.facts import DataFacts, read_facts
from lineage.run.finetune.layout import Layout, read_layout
from lineage.run.finetune.own_run import find_own_model
from lineage.run.finetune.plan import Choice, choose_training
from lineage.run.finetune.share import fit_share
from lineage.run.finetune.weights import BODIES, find_weights

KEEP_EMPTY = "dataset.train.filter_empty=false"
WIDEST = 60  # characters of a choice, before its reason
BESIDE_DATASET = ("true", "True")  # finetune=true dataset=... names no folder


def expand_command(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with choices in place of finetune=..., which are printed with their reasons.

    What was typed comes last, so that it counts. Raises ConfigError if no folder, or no single one, is named.
    """
    overrides = [Override.parse(text) for text in arguments if is_override(text)]
    typed = {override.key: override.value or "" for override in overrides}
    refuse_unknown_keys(typed)
    if "finetune" not in typed:
        return [*arguments]
    rest = [text for text in arguments if not (is_override(text) and Override.parse(text).key in FINETUNE_KEYS)]
    if "resume" in typed:  # the run folder has the choices
        return rest
    if "experiment" in typed:
        raise ConfigError("finetune=... and experiment=...: a row of a table has its own schedule; give one of them")
    # 1. The data.
    of_data = [str(override) for override in overrides if override.key.split(".")[0] in ("dataset", "paths")]
    layout = fit_share(choose_layout(typed), of_data)
    named = [f"dataset={layout.name}", *layout.overrides]
    data = [text for text in named if Override.parse(text).key not in typed]
    facts = read_facts([*data, *of_data])
    # 2. The choices.
    has_gpu = torch.cuda.is_available() and "cpu" not in (typed.get("trainer"), typed.get("trainer.accelerator"))
    choices = choose_training(facts, typed, has_gpu, find_weights, find_own_model(typed, [*data, *of_data]))
    if os.environ.get("RANK", "0") == "0":
        report(layout, facts, choices, has_gpu, to_stderr=bool({"-c", "--cfg"} & {*rest}))
    # 3. The command: Hydra takes overrides in one block.
    place = next((place for place, text in enumerate(rest) if is_override(text)), len(rest))
    return [*rest[:place], *data, *(choice.override for choice in choices), *rest[place:]]


def refuse_unknown_keys(typed: Mapping[str, str]) -> None:
    """Raise ConfigError for a key below finetune that does not exist, or stands without finetune=FOLDER."""
    below = [key for key in typed if key.startswith("finetune.")]
    if unknown := [key for key in below if key not in FINETUNE_KEYS]:
        raise ConfigError(f"there is no key {unknown[0]!r}. Beside finetune=FOLDER there is finetune.anchors=true")
    if below and "finetune" not in typed:
        raise ConfigError(f"{below[0]} has no effect without finetune=FOLDER")


def is_override(text: str) -> bool:
    return "=" in text and not text.startswith("-")


def choose_layout(typed: dict[str, str]) -> Layout:
    """Return the layout of the folder that finetune names, or the dataset that was typed beside finetune=true."""
    value = typed["finetune"].strip("'\"")
    if "dataset" in typed:
        if value not in BESIDE_DATASET and "dataset.root" not in typed:
            return Layout(
                typed["dataset"], (f"dataset.root={quote(Path(value).absolute())}",), f"dataset={typed['dataset']}"
            )
        return Layout(typed["dataset"], (), f"dataset={typed['dataset']}")
    path = Path(value).expanduser()
    if value in ("", *BESIDE_DATASET) or ("," in value and not path.exists()):
        raise ConfigError(
            f"finetune={value}: name one folder of images with annotations, as finetune=/data/cells; or a dataset "
            "beside finetune=true, as dataset=voc07 dataset.root=/data/VOCdevkit"
        )
    return read_layout(path.absolute(), typed)


def report(layout: Layout, facts: DataFacts, choices: Sequence[Choice], has_gpu: bool, *, to_stderr: bool) -> None:
    """Print the data, each choice with its reason, and what to expect."""
    classes = f"{', '.join(facts.classes[:5])}{', ...' if len(facts.classes) > 5 else ''}"
    lines = [
        f"{layout.summary}: {facts.images} images to train on, {facts.val_images or 'none'} to evaluate; "
        f"{facts.objects} objects, {len(facts.classes)} class{'es' * (len(facts.classes) > 1)} ({classes})",
        *describe_empty(facts),
        "chosen, and why; what you type beside finetune= counts instead:",
    ]
    width = min(max(len(choice.override) for choice in choices), WIDEST)
    lines += [f"  {choice.override:<{width}}  {choice.reason}" for choice in choices]
    lines += expect(choices, has_gpu)
    print("\n".join(lines), file=sys.stderr if to_stderr else None, flush=True)


def describe_empty(facts: DataFacts) -> list[str]:
    """Return a line about training images without objects that are left out, if there are any."""
    if not facts.left_out:
        return []
    images = count_noun(facts.left_out, "image")
    return [
        f"{images} without objects left out of training, as the papers do; {KEEP_EMPTY} trains on them as background"
    ]


def expect(choices: Sequence[Choice], has_gpu: bool) -> list[str]:
    """Return what to expect of a training from scratch, and of one on a CPU."""
    is_scratch = any(choice.override == "backbone=mini" for choice in choices)
    lines = []
    if is_scratch:
        url = torchvision.models.get_weight(BODIES["resnet50" if has_gpu else "mobilenet_v3_large"]).url
        lines.append(
            "from scratch, expect a weak detector: with 120 photographs of people, box AP is about half of that from "
            f"ImageNet weights (benchmarks/results/finetune.md). With {url} here, name it: "
            f"backbone={'resnet50' if has_gpu else 'mobilenet_v3_large'} backbone.weights=FILE"
        )
    if not has_gpu:
        lines.append(
            "on a CPU: a step of 4 images takes 1 to 3 s on two cores at short side 320, several times that with a "
            "ResNet-50; the progress line has the time left. Ctrl-C stops with a checkpoint, and resume=RUN goes on"
        )
    return lines
