"""Hostile and broken answers: whatever a server sends is understood, or an error of the package; in bounded memory.

    python -m tests.fuzz --seconds 600

What real servers and boxes sent (`corpus`) is damaged (`damage`) and taken apart as the package does it (`targets`).
The tests do it with a few hundred inputs, always the same ones; by hand it is as many as there is time for.
"""
