"""What finds out whether the product kept its word under faults: the oracle, and a bad network."""
