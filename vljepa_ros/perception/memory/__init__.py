"""Episodic memory: stores embeddings of what the cameras saw, and searches them by text."""
