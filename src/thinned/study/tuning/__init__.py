"""How much dropout a network of the caller's wants, by the caller's own training: p for each kind of place."""
