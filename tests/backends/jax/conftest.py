"""Four devices on one CPU, for shards."""

from __future__ import annotations

import jax

jax.config.update("jax_num_cpu_devices", 4)
