"""What ends a build with a sentence for its user, wherever it is raised: of modules that are imported late."""


class BuildFailure(RuntimeError):  # noqa: N818 - what others derive their errors from
    """The message names what is wrong and, where there is one, the mend."""
