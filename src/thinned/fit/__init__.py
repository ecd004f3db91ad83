"""One network and one training loop, for whatever trains here: studies and the scikit-learn estimators."""
