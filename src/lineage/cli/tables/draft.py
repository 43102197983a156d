"""`lineage draft`: tables typed off papers (JSON) become draft files of experiments/."""

from __future__ import annotations

import argparse
from pathlib import Path

from lineage.tables.draft import draft_table, read_records, write_draft


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lineage draft", description="Tables typed off papers become draft files.")
    parser.add_argument("json", type=Path, help="a list of tables; `python -m pydoc lineage.tables.draft` has the keys")
    parser.add_argument(
        "--out", type=Path, default=Path("experiments"), help="the folder of tables (default: %(default)s)"
    )
    parser.add_argument("--only", default="", help="tables whose paper and label contain this text")
    args = parser.parse_args(argv)
    for record in read_records(args.json):
        if args.only.lower() in f"{record.get('paper')} {record.get('table')}".lower():
            print(write_draft(*draft_table(record), args.out))
    return 0
