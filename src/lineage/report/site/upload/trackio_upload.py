"""The site in trackio: the pages as an artifact, tables as tables, pictures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from lineage.report.site.parts import INDEX, read_part, replace_nonfinite
from lineage.report.site.upload.contents import list_pictures, list_tables
from lineage.report.site.upload.paint_image import paint_image


def upload_site(folder: Path, project: str, library: Any) -> str:
    """Upload the site of a folder into a project of trackio; return the name of its run. library: the package."""
    index = read_part(folder, INDEX)
    name = f"site {index['written']}"
    run = library.init(project=project, name=name, config={"store": index["store"]}, group="site", embed=False,
                       auto_log_cpu=False, auto_log_gpu=False)  # fmt: skip
    run.log_artifact(folder, name="lineage-site", type="site")
    for table in list_tables(folder, index):
        run.log(
            {table.name: library.Table(columns=_number_repeated(table.columns), data=replace_nonfinite(table.rows))}
        )
    for pictures in list_pictures(folder, index):
        for image in pictures.images:
            drawn = library.Image(paint_image(image), caption=image.name)
            run.log({f"pictures/{pictures.run}/{image.name}": drawn})
    run.finish()
    return name


def _number_repeated(columns: list[str]) -> list[str]:
    """Return names of columns that differ: trackio keeps a row by them."""
    counts: Counter[str] = Counter()
    names = []
    for column in columns:
        counts[column] += 1
        names.append(column if counts[column] == 1 else f"{column} ({counts[column]})")
    return names
