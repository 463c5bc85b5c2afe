"""The loop: what is owed, through the engine and the scorer, into the store."""
