"""Faults of the line between engine and servers: a run ends, is equal or clearly red, and the next one is equal.

`proxy` has the lines that break, `engine` is the command line in a process of its own, `trial` is one run with its
faults and the one after it; `python -m tests.faults` runs many by hand (`make soak`).
"""
