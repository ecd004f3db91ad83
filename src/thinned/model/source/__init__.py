"""What a forward says: a user's Python source, read without running it. This room grows no further."""
