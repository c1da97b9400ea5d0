"""Methods that choose which weights may change."""
