"""Main metrics: one list for all views."""

from __future__ import annotations

import pytest

from lineage.report.site.headline import choose_headline, sort_headline


@pytest.mark.parametrize(
    ("metrics", "main"),
    [
        ({"box/AP": 30.0, "box/AP50": 50.0, "mask/AP": 27.0, "box/AR1000": 60.0}, ["mask/AP", "box/AP"]),
        ({"box/AR100": 40.0, "box/AR1000": 60.0}, ["box/AR1000"]),
        ({"voc/mAP07": 60.0, "voc/mAP": 61.0}, ["voc/mAP", "voc/mAP07"]),
        ({"frame/SSIM": 80.0, "frame/PSNR": 25.0}, ["frame/PSNR"]),
        ({"own/error": 1.0, "own/other": 2.0, "second/x": None}, ["own/error"]),
        ({"box/AP": 30.0, "calibration/AP": 29.0}, ["box/AP"]),
        ({"calibration/AP": 29.0, "calibration/D-ECE": 7.0}, ["calibration/AP"]),
        ({"box/AP": None}, []),
        ({}, []),
    ],
)
def test_main_metrics(metrics: dict[str, float | None], main: list[str]) -> None:
    assert choose_headline(metrics) == main


def test_other_tasks_follow_in_their_order() -> None:
    assert sort_headline(["frame/PSNR", "box/AP", "mask/AP", "box/AP"]) == ["mask/AP", "box/AP", "frame/PSNR"]
