"""VL-JEPA against other heads, everything else being equal: `vljepa train comparison`, `blind`."""
