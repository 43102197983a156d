"""Keys that people bring from other frameworks, and arguments of Lightning's Trainer that a run sets itself.

Neither may be accepted without effect: each gets the key that does what was meant. Nor may keys of other datasets.
"""

from __future__ import annotations

STEPS = "schedule.epochs, or schedule.steps"

# Last part of a key, as other frameworks call it -> the key here.
ELSEWHERE = {
    "epochs": STEPS,
    "num_epochs": STEPS,
    "max_epochs": STEPS,
    "max_steps": "schedule.steps",
    "cosine": "lr_schedule=cosine",
    "lr_scheduler": "lr_schedule (options of conf/lr_schedule)",
    "scheduler": "lr_schedule (options of conf/lr_schedule)",
    "ema": "callbacks=ema",
    "grad_clip": "trainer.gradient_clip_val",
    "clip_gradients": "trainer.gradient_clip_val",
    "max_iter": "schedule.steps",
    "batch_size": "schedule.images_per_step (of all devices together; data.images_per_device is a device's share)",
    "ims_per_batch": "schedule.images_per_step",
    "lr": "optimizer.lr",
    "base_lr": "optimizer.lr",
    "learning_rate": "optimizer.lr",
    "num_workers": "data.workers",
    "gpus": "trainer.devices, with trainer=gpu or trainer=ddp",
    "device": "trainer=cpu or trainer=gpu",
    "imgsz": "augment (options of conf/augment); of drawn datasets dataset.size",
    "pretrained": "weights, or backbone.weights for the body alone",
    "checkpoint": "weights, or resume to continue a run",
    "num_classes": "dataset.classes, which is read from the dataset",
}

# Arguments of pytorch_lightning.Trainer that would do nothing, or stop a run without its result.
SET_BY_RUN = {
    "max_epochs": f"use {STEPS}",
    "min_epochs": f"use {STEPS}",
    "max_steps": "use schedule.steps",
    "min_steps": "use schedule.steps",
    "max_time": "use schedule.steps; a run that is stopped goes on with resume=RUN_FOLDER",
    "accumulate_grad_batches": "use data.images_per_device: what is missing to schedule.images_per_step is accumulated",
    "val_check_interval": "use schedule.evaluate_every",
    "check_val_every_n_epoch": "use schedule.evaluate_every",
    "num_sanity_val_steps": "one batch is always evaluated before the first step",
    "limit_train_batches": "use schedule.steps",
    "limit_val_batches": "use a smaller dataset.val: metrics over a part of a dataset compare with nothing",
    "limit_test_batches": "use a smaller dataset.val",
    "limit_predict_batches": "use fewer images for lineage predict",
    "overfit_batches": "use a dataset of few images, such as dataset.train.length=8",
    "fast_dev_run": "use tier=smoke",
    "callbacks": "use callbacks=NAME (options of conf/callbacks), beside trainer and not below it",
    "logger": "use logger=csv or logger=wandb, beside trainer and not below it",
    "default_root_dir": "use paths.runs",
    "enable_checkpointing": "use checkpoint_every",
    "enable_progress_bar": "the progress line is lineage's own",
    "enable_model_summary": "use lineage models",
    "use_distributed_sampler": "the order of images does not depend on the number of processes",
    "reload_dataloaders_every_n_epochs": "a run is one epoch of Lightning",
    "barebones": "it measures Lightning alone",
}

# Keys of datasets in the formats of COCO and VOC -> what the other datasets do.
OF_FORMATS = {
    "pixel_range": "read files of 8 bits a channel",
    "max_megapixels": "read images of up to 179 megapixels",
}

FRACTION = "dataset.val.fraction"
SHARED = ("lineage.data.formats.coco.load", "lineage.data.formats.voc.load")  # datasets that FRACTION can divide


def explain(key: str) -> str | None:
    """Return the message for a key of another framework, of the run itself or of other datasets, or None."""
    node, _, name = key.rpartition(".")
    if node == "trainer" and name in SET_BY_RUN:
        return f"{key} has no effect on a run: {SET_BY_RUN[name]}"
    if name in OF_FORMATS:
        return (
            f"{key} has no effect: only datasets in the formats of COCO and VOC have dataset.{name} (dataset=coco, "
            f"dataset=voc07, ...), the others {OF_FORMATS[name]}. For any model, lineage predict has "
            f"--{name.replace('_', '-')}"
        )
    if key == FRACTION:
        return (
            f"{key}: only dataset=coco, dataset=coco_person and dataset=voc* can validate on a share of their training "
            "images; dataset.val=null leaves evaluation out"
        )
    use = ELSEWHERE.get(name.lower())
    return None if use is None else f"there is no key {key!r}. Use {use}"
