"""Where TF-slim keeps our weights: one module a family, named as research/slim/nets names its variables."""
