"""What is wrong: rules with codes, over source code and live models."""
