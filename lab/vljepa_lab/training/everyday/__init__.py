"""The embedded model `everyday`, composed of published networks and a table of words."""
