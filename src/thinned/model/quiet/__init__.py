"""Whether noise is off: guarded, switched off for a while, or frozen."""
