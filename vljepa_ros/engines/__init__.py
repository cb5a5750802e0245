"""How a model is run: ONNX Runtime, torch, TensorRT behind one protocol."""
