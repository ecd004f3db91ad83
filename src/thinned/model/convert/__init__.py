"""How do thinned's layers get into a model? Replace the dropouts of other libraries, and put them back."""
