"""`python -m thinned`: the command `thinned`, of this very Python."""

from .cli import main

if __name__ == "__main__":
    main()
