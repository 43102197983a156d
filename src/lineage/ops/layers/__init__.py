"""Layers of few kernels on CUDA, each beside its plain torch form: convolution, stem, focal loss, packed levels."""
