"""How large p is: told, set, scaled and moved over steps."""
