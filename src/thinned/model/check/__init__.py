"""What is wrong with dropout? Rules with codes, for source code and for live models."""
