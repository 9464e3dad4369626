"""How loops are compiled, kept and launched: one policy."""
