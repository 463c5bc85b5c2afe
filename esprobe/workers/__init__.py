"""Engine workers: one in this process, or several in processes of their own, on this machine or on a Ray cluster.

Owns how work is assigned, and what happens to it when a worker dies. Does not know which rollouts are missing, how a
completion is scored or where it is stored: the sampling loop, in the process that owns the database, does that.
"""
