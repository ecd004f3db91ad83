"""One network and one training loop, and many networks side by side, for whatever trains here: studies and the
scikit-learn estimators."""
