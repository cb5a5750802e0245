"""The `vljepa` command."""
