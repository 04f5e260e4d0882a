"""What is run from a checkout, as `python -m scripts.NAME`: builders, proofs, training."""
