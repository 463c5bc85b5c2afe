"""Frozen values that analysis returns and report prints. Computes nothing and contains no text for people."""
