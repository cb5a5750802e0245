"""Data, losses and loops that make a checkpoint."""
