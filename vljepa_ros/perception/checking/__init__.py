"""Measures how reliable texts are on a recording with known truth."""
