"""The training loop and its parts: setup, optimizers, precision, sharding, checkpoints, resuming, progress."""
