"""How one call is changed: dropout before or behind it, or another p among its arguments."""
