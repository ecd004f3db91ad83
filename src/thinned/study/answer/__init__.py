"""What the outcomes say, and how surely."""
