"""The commands: runs, comparisons and diffs, with their options and records."""
