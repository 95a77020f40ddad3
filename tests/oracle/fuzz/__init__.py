"""Random scenarios for the oracle: generate, record on real kernels, play here, compare, shrink."""
