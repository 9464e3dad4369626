"""Planted faults: one piece of text replaced in one file, which the kit has to find and to explain.

A mutant is a row in a table: `numpy_mutants` for the plain backend, `engine_mutants` for this engine. Its text must
stand in the file exactly once, so that a mutant which no longer applies fails loudly.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A fault: `old` becomes `new` in `file`; the failure that is found is of `quantity`, and its message `shows` why.

    `arithmetic` is what the backend promises to compute in, `n` how many problems are drawn to find the fault,
    `largest` how many numbers x has at most in the smallest failure, and `check` what has to find it, for the engine.
    """

    name: str
    old: str
    new: str
    shows: str
    quantity: str = "y"
    arithmetic: str = "float32"
    file: str = "plain_backend.py"
    n: int = 60
    largest: int = 60
    check: str = "kit"

    def apply(self, text):
        """Return a file's text with the fault."""
        assert text.count(self.old) == 1, (
            f"{self.name}: {self.old!r} stands {text.count(self.old)} times in {self.file}"
        )
        return text.replace(self.old, self.new)

    def check_message(self, text):
        """Raise unless an error names the quantity, shows the cause on a problem, and ends in code."""
        found, _, program = text.partition("The smallest failure that was found:\n\n")[2].partition(
            "To see it again:\n"
        )
        assert found.startswith(f"{self.quantity}"), found
        assert re.search(self.shows, found, flags=re.DOTALL), found
        assert "Problem: x (" in found, found
        assert "assert_matches_reference(actual, x, weights, kernel" in program, program
        compile(program, "program", "exec")
