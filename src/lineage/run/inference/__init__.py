"""Prediction, export and scoring, with trained models and stored detections. Read first: predict.py."""
