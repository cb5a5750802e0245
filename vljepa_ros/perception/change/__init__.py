"""Selective decoding: has the meaning of what a camera sees changed? One file for each detector."""
