"""Where the noise is: every place of a model that draws, as it is and as it runs."""
