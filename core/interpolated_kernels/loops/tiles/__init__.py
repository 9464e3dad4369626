"""Vectors in registers and what loops do with them: one vocabulary."""
