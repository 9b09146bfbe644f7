"""Trained models in other formats: ONNX, and the stock classes of transformers."""
