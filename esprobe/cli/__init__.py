"""Strings in, one call, text out."""
