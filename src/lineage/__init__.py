"""lineage: reproduce the R-CNN papers. A paper's table is a file, its rows run, its claims are checked."""

import os

__version__ = "0.1.0"

# OpenMP threads that spin at every barrier starve each other as soon as another program wants a core: a training step
# of 0.45 s on two idle cores took 6 s beside one busy loop, and 0.8 s with this. Only counts before torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
