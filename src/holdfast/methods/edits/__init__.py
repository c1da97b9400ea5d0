"""Methods that edit the trained weights before they are shipped."""
