"""One script a source, which compares our networks with the original program and converts its files."""
