"""Warnings of torch that nobody can act on are hidden, and all others of the same loggers are printed."""

from __future__ import annotations

import logging

from lineage.run.inference import export
from lineage.train.engines import engine


def log(text: str) -> logging.LogRecord:
    return logging.LogRecord("torch", logging.WARNING, "x.py", 1, text, (), None)


def test_one_warning_of_an_export_is_hidden() -> None:
    shown = "Unsure how to serialize the given empty list, as we don't know what is the type of this argument."
    assert not export.is_useful(log(shown))
    assert export.is_useful(log("another warning"))


def test_one_warning_of_a_compilation_is_hidden() -> None:
    assert not engine.is_useful(log("No CUDA runtime is found, using CUDA_HOME='%s'"))
    assert engine.is_useful(log("another warning"))
