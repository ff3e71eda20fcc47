"""What is on disk: files that are whole or absent, their names, the tables and the ledger."""
