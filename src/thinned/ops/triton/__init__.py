"""How is noise applied on a GPU? Kernels in Triton, how a tensor's memory is given to them, and whether they are right.

Triton is no dependency: it comes with torch's builds for GPUs, and only a tensor on a GPU makes us import it.
"""
