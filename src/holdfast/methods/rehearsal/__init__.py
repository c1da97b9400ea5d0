"""Methods that mix old examples into the new ones."""
