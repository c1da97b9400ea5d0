"""Methods that edit gradients and updates."""
