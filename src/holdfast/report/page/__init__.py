"""One self-contained HTML file for a run, a diff or a comparison: what its parts hold, and how they are rendered."""
