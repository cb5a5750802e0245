"""Real pictures and clips: what they show, where they come from, and what a model makes of them."""
