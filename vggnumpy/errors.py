"""The one exception type for bad input."""


class InputError(ValueError):
    """What a person gave cannot be used.

    The message is one sentence that names the input, what was expected, what was found and, where that helps,
    what to do.  The command line prints it after ``vggnumpy: error:`` and exits with code 2, without a traceback.
    """
