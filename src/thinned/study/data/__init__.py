"""What a study learns from: rows, their parts, and what is suspicious about them."""
