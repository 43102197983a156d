"""A trained model as ONNX or torch.export program, checked beside the model. Read first: program.py."""
