"""From detections to metrics, equal to the official evaluators.

May import structures and ops. Read first: evaluator.py, predictions/predictions.py, protocols/coco.py.
"""
