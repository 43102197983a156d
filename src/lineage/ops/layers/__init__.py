"""Layers whose parts are one kernel on CUDA, each beside its plain torch form: convolution, stem, focal loss."""
