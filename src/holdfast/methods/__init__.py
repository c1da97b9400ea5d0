"""The methods, one file each: a pure function, and below it the class that places it in a run."""
