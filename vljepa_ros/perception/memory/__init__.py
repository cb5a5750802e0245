"""Episodic memory: what the cameras saw, kept as embeddings, found by text."""
