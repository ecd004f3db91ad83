"""How large p is: to read it, to set and scale it, and to change it over the steps of training."""
