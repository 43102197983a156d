"""The site in MLflow: a run with the pages, all runs and the pictures, and below it a run for each table of a paper.

A table is a file as mlflow.log_table writes it, which needs pandas; mlflow.load_table reads it.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from lineage.report.site.parts import INDEX, file_name, read_part, replace_nonfinite
from lineage.report.site.upload.contents import Table, list_pictures, list_tables
from lineage.report.site.upload.paint_image import paint_image

PARENT = "mlflow.parentRunId"  # tag
TABLES = "mlflow.loggedArtifacts"  # tag with the artifacts that MLflow shows and loads as tables
LONGEST = 5000  # characters of a tag that every store of MLflow takes; further tables of a run are shown as JSON


def upload_site(folder: Path, experiment: str, address: str, artifacts: str | None) -> str:
    """Upload the site of a folder into an experiment of MLflow; return the address of its artifacts.

    address: of the tracking server or store. artifacts: where a new experiment keeps its files; None: the server's.
    """
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # they announce each new file
        logging.getLogger(name).setLevel(logging.ERROR)
    # 1. The run of the site, with the pages.
    index, client = read_part(folder, INDEX), MlflowClient(address)
    place = client.get_experiment_by_name(experiment)
    number = place.experiment_id if place else client.create_experiment(experiment, artifacts)
    site = client.create_run(number, run_name=f"site of {index['store']}").info
    client.log_artifacts(site.run_id, str(folder), "site")
    # 2. All runs as a table; tables of papers, and AP by class, in runs below it.
    runs = {"": site.run_id}
    for table in list_tables(folder, index):
        owner = table.group.removeprefix("tables/")
        if owner not in runs:
            runs[owner] = client.create_run(number, run_name=owner, tags={PARENT: site.run_id}).info.run_id
        _log_table(client, runs[owner], table)
    # 3. Pictures.
    for pictures in list_pictures(folder, index):
        for image in pictures.images:
            client.log_image(site.run_id, paint_image(image), f"pictures/{pictures.run}/{file_name(image.name)}.png")
    for run in runs.values():
        client.set_terminated(run)
    return str(site.artifact_uri)


def _log_table(client: Any, run: str, table: Table) -> None:
    path = f"{file_name(table.title.replace('/', ' '))}.json"
    client.log_text(run, json.dumps(replace_nonfinite({"columns": table.columns, "data": table.rows})), path)
    listed = json.loads(client.get_run(run).data.tags.get(TABLES, "[]"))
    if len(text := json.dumps([*listed, {"path": path, "type": "table"}])) <= LONGEST:
        client.set_tag(run, TABLES, text)
