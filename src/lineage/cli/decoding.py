"""The arguments of commands that read image files without a dataset's config."""

from __future__ import annotations

import argparse


def add_decoding_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --pixel-range and --max-megapixels; without them, they are None."""
    parser.add_argument(
        "--pixel-range", type=float, nargs=2, metavar=("BLACK", "WHITE"),
        help="values of files with more than 8 bits a channel: 0 65535, of 12 bits 0 4095, of floats 0 1",
    )  # fmt: skip
    parser.add_argument("--max-megapixels", type=float, metavar="N", help="of an image; larger ones are refused (179)")
