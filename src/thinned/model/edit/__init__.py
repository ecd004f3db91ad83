"""How one call is changed: dropout before or after it, or another p among its arguments."""
