"""The frameworks that run graphs, one file each."""
