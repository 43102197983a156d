"""Loggers to W&B, TensorBoard, MLflow and trackio, each with one run's curves, classes, costs, pictures and entry.

Read first: run_record.py.
"""
