"""Numbers in, numbers out: pass@k, its variance and its intervals. numpy only."""
