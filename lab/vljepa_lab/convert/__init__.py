"""Model folders to start a training from."""
