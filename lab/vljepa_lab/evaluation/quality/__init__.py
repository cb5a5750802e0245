"""Quality of a model on held-out scenes: `vljepa eval`."""
