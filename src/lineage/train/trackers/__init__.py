"""Loggers to W&B, TensorBoard, MLflow and trackio, each with one run's curves, classes, costs, pictures and entry.

May import lineage.results.run_folder and the tracker's own package. Read first: run_record.py.
"""
