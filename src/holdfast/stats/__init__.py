"""Statistical statements about pairs of score sets; numpy and scipy only."""
