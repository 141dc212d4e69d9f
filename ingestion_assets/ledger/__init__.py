"""State machines over the ledger tables: who does what, how far it is, and who may still write."""
