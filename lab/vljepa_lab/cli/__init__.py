"""Commands that join `vljepa` where the lab is installed: train, eval, bench."""
