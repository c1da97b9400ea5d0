"""Fused, chunked losses."""
