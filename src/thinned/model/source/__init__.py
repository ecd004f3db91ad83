"""What a forward says: somebody's Python read without being run. This room grows no further."""
