"""Where TF-slim's checkpoints keep our weights: one module a family."""
