"""From the bytes of a file to its canonical text, in a child process with limits. `documents.extract` is the way in.

Nothing is imported here: the child loads this package, and what it loads is its start-up time.
"""
