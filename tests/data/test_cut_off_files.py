"""Files of labelling tools that are cut off: the message has file, line and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.cli.data.main import main
from lineage.data.annotations.validate import DatasetError
from lineage.data.formats import unlabelled
from tests.data.test_convert import VIA_HEADER, draw


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"note.json": "[" * 10_000}, "note.json: is not JSON (maximum recursion depth exceeded"),
        (
            {"v.json": '{"a": {"filename":\n "a.p'},
            "v.json: is not JSON (Unterminated string starting at: line 2",
        ),
        (
            {
                "v.json": '{"a": {"filename": "a.png", "regions": []}}',
                "w.json": '{"b": {"filename": "a.png",\n "regions": [',
            },
            "w.json: is not JSON (Expecting value: line 2 column 14",
        ),
        (
            {"a.json": '{"shapes": [], "imagePath": "a.png"}', "b.json": '{"shapes": [],\n "ima'},
            "b.json: is not JSON (Unterminated string starting at: line 2 column 2",
        ),
        ({"v.csv": f'{VIA_HEADER}a.png,1,"{{}}",1,0,"{{""name"": ""re'}, "v.csv: line 2 is no row of the VGG"),
    ],
)
def test_a_file_that_is_cut_off_is_named_with_line_and_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, str], says: str
) -> None:
    draw(tmp_path / "a.png")
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert main(["convert", str(tmp_path)]) == 1
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"images": [{"id": 1,\n "fi', "is not JSON (Unterminated string starting at: line 2 column 2"),
        ('{"annotations": []}', "holds no list `images`"),
        ('{"images": {}}', "its `images` is not a list of images, or is empty"),
    ],
)
def test_a_list_of_unlabelled_images_that_cannot_be_read_is_named(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / "list.json"
    file.write_text(content)
    with pytest.raises(DatasetError) as raised:
        unlabelled.load(annotations=str(file), images=str(tmp_path))
    assert str(raised.value).startswith(f"{file}: {says}")
