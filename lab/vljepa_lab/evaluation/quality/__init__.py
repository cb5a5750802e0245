"""How well a model answers, on held-out scenes: `vljepa eval`."""
