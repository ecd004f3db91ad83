"""Is the noise off? Guard a model against noise, switch its noise off for a while, or freeze a part of it."""
