"""Methods that add a term to the loss of a token."""
