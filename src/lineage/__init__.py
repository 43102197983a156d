"""lineage: reproduce the R-CNN papers. A paper's table is a file, its rows run, its claims are checked."""

__version__ = "0.1.0"
