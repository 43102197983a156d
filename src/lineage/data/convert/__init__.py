"""Annotations in the layouts of labelling tools, written as COCO-format files beside their images."""
