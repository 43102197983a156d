"""The end of a process that has talked by gloo.

After a collective has ended, a thread of gloo frees its tensors, and takes the interpreter's lock to do so. If the
interpreter has begun to end by then, Python ends the thread inside a C++ destructor. This aborts the process (SIGABRT,
"terminate called without an active exception") although its training is done: pytorch/pytorch issue 190489. Destroying
the process group does not help, for DDP's reducer holds it to the end.
"""

from __future__ import annotations

import time

import torch.distributed as dist

PAUSE = 0.2  # seconds without the interpreter's lock; a thread needs microseconds of them


def wait_for_gloo_threads() -> None:
    """Let the threads free their tensors, if this process talks by gloo."""
    if dist.is_available() and dist.is_initialized() and "gloo" in dist.get_backend():
        time.sleep(PAUSE)
