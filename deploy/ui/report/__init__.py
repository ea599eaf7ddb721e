"""A night or a run as one document to be mailed: HTML, a picture, or plots in a terminal.

The figures are those of the pages, by the pages' statements, asked for one night or one run (`subject`).
Nothing in a document needs a server, a script or another file.
"""

__all__ = ["document", "gathering", "picture", "subject", "terminal", "writing"]
