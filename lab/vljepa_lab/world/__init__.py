"""The simulated robot-camera world: training data, test streams, a live camera."""
