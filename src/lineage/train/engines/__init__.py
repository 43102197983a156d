"""How a step runs on the hardware: operation by operation, compiled or as CUDA graphs, equal to rounding."""
