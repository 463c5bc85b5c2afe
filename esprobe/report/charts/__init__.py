"""What each figure shows, as plain values. Does not know which library draws it."""
