"""The message for a distributed run that has lost a process: one line in place of the stack of a collective."""

from __future__ import annotations

import re

COLLECTIVE = re.compile(r"gloo|nccl|TCPStore|ProcessGroup", re.IGNORECASE)
GONE = re.compile(r"Connection (closed|reset) by (remote )?peer|Broken pipe|remote process exited|Socket closed")


def explain_lost_process(error: BaseException) -> str | None:
    """Return one line if an error is that of a collective whose other process has gone, None for any other."""
    text = str(error)
    if not isinstance(error, RuntimeError) or not (COLLECTIVE.search(text) and GONE.search(text)):
        return None
    return (
        "another process of this run has ended. Its own last lines say why; if it has none, it was killed, often "
        "because memory ran out. The run goes on from its last checkpoint: python train.py resume=RUN_FOLDER"
    )
