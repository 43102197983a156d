"""Measures on matched detections, each by its paper: boundary AP, LRP, TIDE, PQ, mIoU."""
