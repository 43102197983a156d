"""The site in trackers: W&B, MLflow, TensorBoard and trackio get its tables, its pictures and its pages.

May import lineage.report.site, lineage.report.draw and the tracker's own package. Read first: contents.py.
"""
