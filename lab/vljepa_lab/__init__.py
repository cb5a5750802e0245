"""What makes and judges models: simulated world, training, evaluation. Never on a robot."""
