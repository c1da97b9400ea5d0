"""Methods that weigh the task loss of a token."""
