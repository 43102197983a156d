"""The line of `lineage table TABLE --images` about the runs that it read."""

from __future__ import annotations

import pytest

from lineage.cli.tables.table import describe_image_noise


@pytest.mark.parametrize(("present", "absent", "line"), [
    (4, 0, "noise of test images: resampled for 4 runs"),
    (1, 0, "noise of test images: resampled for 1 run"),
    (3, 1, "noise of test images: resampled for 3 runs; 1 run left out, whose detections are not on this machine"),
])  # fmt: skip
def test_runs_are_counted_and_only_those_that_lack_something_are_named(present: int, absent: int, line: str) -> None:
    assert describe_image_noise(present, absent) == line
