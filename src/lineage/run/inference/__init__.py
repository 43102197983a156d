"""What is done with trained models and stored detections: prediction, export, scoring. Read first: predict.py."""
