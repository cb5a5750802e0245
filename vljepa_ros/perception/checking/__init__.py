"""How right texts are on a recording whose truth is known."""
