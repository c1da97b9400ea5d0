"""The methods, one file each: a pure function, and below it its placement in a run."""
