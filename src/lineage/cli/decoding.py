"""The arguments of commands that read image files without a dataset's config."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence


def add_decoding_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --pixel-range and --max-megapixels; without them, they are None."""
    parser.add_argument(
        "--pixel-range", type=float, nargs=2, metavar=("BLACK", "WHITE"),
        help="values of files with more than 8 bits a channel: 0 65535, of 12 bits 0 4095, of floats 0 1",
    )  # fmt: skip
    parser.add_argument("--max-megapixels", type=float, metavar="N", help="of an image; larger ones are refused (179)")


def parse_images(parser: argparse.ArgumentParser, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the arguments, and those among `images` that are overrides: KEY=VALUE, unless a file has that name."""
    args = parser.parse_intermixed_args(argv)
    overrides = [text for text in args.images if "=" in text and not os.path.exists(text)]
    args.images = [text for text in args.images if text not in overrides]
    return args, overrides


def parse_score(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no score: 0 to 1")
    return value
