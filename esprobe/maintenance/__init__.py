"""Looking after a database: rescore, verify, import and export. Uses the store and tasks; draws nothing."""
