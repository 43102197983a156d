"""Training and inference on one GPU, ours beside torchvision's in one process: `make bench-gpu`."""
