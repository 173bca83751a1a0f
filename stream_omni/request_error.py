"""What is raised of a request that can never run, and of nothing else."""

from __future__ import annotations


class RequestError(ValueError):
    """The request itself is at fault: who sent it reads the message, which says what is wrong and names the limit.

    A plain ValueError speaks of the program, whoever called it with what.
    """
