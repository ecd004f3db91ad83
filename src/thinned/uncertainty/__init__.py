"""How sure the trained model is: Monte-Carlo prediction, scores and calibration. `thinned` re-exports the functions."""
