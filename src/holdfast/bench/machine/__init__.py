"""The machine below a long command: files, progress, signals, the output of libraries."""
