"""From detections to metrics, equal to the official evaluators.

May import structures and ops. Read first: evaluator.py (the protocol), accumulator.py, protocols/coco.py.
"""
