"""Reading of JSON files that others wrote."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

Record = dict[str, Any]

COMMAND = "Name the dataset's own file: lineage evaluate RESULTS --annotations FILE"


class ResultError(ValueError):
    """A result file or a ground truth that cannot be scored; the message names the record."""


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises ResultError."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ResultError(f"{path}: there is no such file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"{path}: cannot be read ({error}).") from error
    except (ValueError, RecursionError) as error:  # also whole numbers of thousands of digits
        raise ResultError(f"{path} is not valid JSON: {error}.") from error


def is_numbers(values: Any) -> bool:
    """Return True for a list of finite numbers."""
    if not isinstance(values, list | tuple):
        return False
    return all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)
