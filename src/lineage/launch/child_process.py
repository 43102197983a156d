"""Kill this process when its parent dies, even by kill -9 (Linux PR_SET_PDEATHSIG; no effect elsewhere).

An orphan would occupy a GPU and write into the run folder that the next process resumes.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def end_with_parent(number: int) -> None:
    """Arrange that this process gets the signal `number` when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() == 1:  # the parent ended before the call
            os._exit(1)
