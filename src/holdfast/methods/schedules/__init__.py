"""Methods that scale the learning rate."""
