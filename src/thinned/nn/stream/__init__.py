"""Noise by (seed, site, step): keys, recomputation, and division among ranks."""
