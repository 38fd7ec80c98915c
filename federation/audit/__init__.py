"""The ledger and what it says: a chain that anyone can check, read for people. Decides nothing."""
