"""Engines at work: one in this process, or several in processes of their own, on this machine or on a Ray cluster.

Owns how work is handed out, and what happens to it when a worker dies. Does not know what is owed, what a completion is
worth or where it is kept: the process that owns the database asks, and does the rest.
"""
