"""Change detectors that the shipped one is compared with."""
