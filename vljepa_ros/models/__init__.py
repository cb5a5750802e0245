"""What a model is: configurations and architectures of VL-JEPA and other embedding models."""
