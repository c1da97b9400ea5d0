"""Whether the certificate of a model holds."""
