"""Training of VL-JEPA at the paper's size, on one GPU or under torchrun."""
