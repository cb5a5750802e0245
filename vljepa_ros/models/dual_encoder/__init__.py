"""CLIP, SigLIP and SigLIP 2: an image tower and a text tower with one shared space."""
