"""Scores of anybody's results: COCO's JSON, the text files of VOC or Cityscapes, or COCO's panoptic JSON with its PNGs.

A file is checked before anything is scored; messages name the record. Its records become the same Predictions that a
model's detections become in training, and the same Scorer scores them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from lineage.eval.document import CocoDocument, document_of
from lineage.eval.evaluator import Scorer
from lineage.eval.files.check_results import check_results, cure_ids
from lineage.eval.files.cityscapes import read_cityscapes
from lineage.eval.files.ground_truth import read_ground_truth
from lineage.eval.files.json_file import Record, ResultError, read_json
from lineage.eval.files.panoptic import score_panoptic
from lineage.eval.files.voc import read_voc
from lineage.eval.notes import record_notes
from lineage.eval.predictions.coco_records import from_records
from lineage.eval.predictions.predictions import Floats, Predictions
from lineage.eval.protocols.cityscapes import CityscapesScorer
from lineage.eval.protocols.coco import CocoScorer, find_tasks
from lineage.eval.protocols.lvis import LvisScorer
from lineage.eval.protocols.proposals import ProposalScorer
from lineage.eval.protocols.voc import VocScorer
from lineage.eval.scored_document import keypoint_length
from lineage.eval.scores import Scores, join
from lineage.eval.tasks import FIELDS, TASKS

PANOPTIC = "panoptic"
SCORERS: dict[str, Any] = {
    scorer.name: scorer for scorer in (CocoScorer, LvisScorer, VocScorer, CityscapesScorer, ProposalScorer)
}  # fmt: skip
PROTOCOLS = (*SCORERS, PANOPTIC)
Rescore = Callable[[Predictions, Sequence[int]], Floats]  # detections, category id of each label -> their scores


def score_file(
    results: Path,
    ground_truth: Path | CocoDocument | dict[str, Any],
    *,
    protocol: str | None = None,
    tasks: Sequence[str] | None = None,
    extras: Sequence[str] = (),
    folder: Path | None = None,
    rescore: Rescore | None = None,
    **options: Any,
) -> Scores:
    """Score a result file or folder. Raises ResultError.

    protocol: one of PROTOCOLS; None: that of the ground truth, by the fields that only LVIS or panoptic documents have.
    tasks: those to score; None: the protocol's, as far as the results and the ground truth both have their geometry.
    extras: metrics that the protocol has on request.
    folder: of the PNGs of a panoptic ground truth that is no file; of a file it is named as the file.
    rescore: returns other scores of the detections, such as calibrated ones; not for panoptic results.
    options: other keywords of the protocol's Scorer, such as `sigmas`.
    """
    if isinstance(ground_truth, Path):
        folder = folder or ground_truth.with_suffix("")
    dataset = open_ground_truth(ground_truth)
    document = dataset.document
    protocol = protocol or guess_protocol(document)
    if protocol == PANOPTIC:
        if rescore is not None:
            raise ResultError(f"{results}: panoptic results have no scores that could be calibrated.")
        return score_panoptic(results, document.get(PANOPTIC, document), folder)
    make_scorer = SCORERS[protocol]
    check_supported(protocol, "tasks", tasks or (), make_scorer.supported)
    check_supported(protocol, "extras", extras, make_scorer.extra_names)
    check_supported(protocol, "options", [*options], [*signature(make_scorer).parameters])
    # 1. Read and check.
    records = read_records(results, document, protocol)
    notes = cure_ids(records) if records else (f"{results} holds no detections: nothing was found.",)
    check_results(records, document, results)
    tasks = scorable_tasks(records, document, tasks, make_scorer.defaults, results)
    # 2. Score each task by its own geometry.
    if make_scorer.extra_names:  # a protocol with choices
        options |= {"tasks": tasks, "extras": extras}
    scorer: Scorer = make_scorer(dataset=dataset, **options)
    return join([Scores({}, {}, notes), *_score_tasks(scorer, records, document, tasks, rescore)])


def _score_tasks(
    scorer: Scorer,
    records: Sequence[Record],
    document: Mapping[str, Any],
    tasks: Sequence[str],
    rescore: Rescore | None,
) -> Iterator[Scores]:
    """Yield the scores of checked records, and their notes, task by task."""
    for task in tasks:
        predictions = from_records(records, document["images"], scorer.category_ids, task)
        if rescore is not None:
            predictions = predictions._replace(scores=rescore(predictions, scorer.category_ids.tolist()))
        yield scorer.score(predictions, task)
        yield Scores({}, {}, record_notes(records, FIELDS[task], task))


def check_supported(protocol: str, kind: str, names: Sequence[str], supported: Sequence[str]) -> None:
    """Raise ResultError for a task, an extra or an option that a protocol does not have."""
    if unsupported := sorted({*names} - {*supported}):
        choices = ", ".join(supported) or "none"
        raise ResultError(f"The protocol {protocol} does not have the {kind} {', '.join(unsupported)}, only {choices}.")


def open_ground_truth(ground_truth: Path | CocoDocument | dict[str, Any]) -> CocoDocument:
    """Return a ground truth as a dataset."""
    if isinstance(ground_truth, CocoDocument):
        return ground_truth
    return document_of(read_ground_truth(ground_truth) if isinstance(ground_truth, Path) else ground_truth)


def guess_protocol(document: Mapping[str, Any]) -> str:
    """Return the protocol that a ground truth has the fields of."""
    annotations = document["annotations"]
    if PANOPTIC in document or any("segments_info" in annotation for annotation in annotations[:1]):
        return PANOPTIC
    if not annotations and any("isthing" in category for category in document["categories"]):
        return PANOPTIC
    federated = document["images"] and all("neg_category_ids" in image for image in document["images"])
    return LvisScorer.name if federated else CocoScorer.name


def read_records(results: Path, document: Mapping[str, Any], protocol: str) -> Any:
    """Return the records of a result file or folder, not yet checked."""
    if not (results.is_dir() or results.suffix == ".txt"):
        return read_json(results)
    return read_cityscapes(results, document) if protocol == CityscapesScorer.name else read_voc(results, document)


def scorable_tasks(
    records: Sequence[Record],
    document: Mapping[str, Any],
    requested: Sequence[str] | None,
    defaults: Sequence[str],
    path: Path,
) -> list[str]:
    """Return the requested tasks, else those of `defaults` that both sides have a geometry for.

    An empty list of records is a result of each task. Raises ResultError if a task lacks its geometry, or none is left.
    """
    annotated = find_tasks(document)
    available = [task for task in TASKS if not records or any(record.get(FIELDS[task]) for record in records)]
    tasks = [*(requested or (task for task in defaults if task in available and task in annotated))]
    if not tasks or not all(task in available and task in annotated for task in tasks):
        needed = ", ".join(FIELDS[task] for task in requested or defaults)
        raise ResultError(
            f"{path}: the records hold {available or 'no geometry'}, the ground truth {annotated or 'none'}; "
            f"these scores need {needed}."
        )
    if "keypoint" in tasks and document["annotations"]:
        length = keypoint_length(document)
        wrong = [index for index, record in enumerate(records) if len(record.get("keypoints") or ()) > length]
        if wrong:
            raise ResultError(f"{path}: record {wrong[0]} has not the {length // 3} keypoints of the ground truth.")
    return tasks
