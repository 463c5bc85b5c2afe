"""Maintenance of a database: rescore, verify, import and export. Uses the store and tasks; samples nothing."""
