"""Where the noise is: every place of a model that draws noise, with its configured and its measured p."""
