"""What a long command needs of the machine: files, progress, signals, quiet libraries."""
