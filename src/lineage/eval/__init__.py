"""From detections to metrics, equal to the official evaluators.

Read first: evaluator.py, predictions/predictions.py, protocols/coco.py.
"""
