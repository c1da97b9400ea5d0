"""Files of examples read, checked, rendered and put in order."""
