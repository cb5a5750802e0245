"""Change detectors, one per file: they decide when the meaning of a scene has changed."""
