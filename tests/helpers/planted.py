"""Errors planted in functions, to see that a check finds them."""


def wrong(function, component=None):
    """Return `function` with its result, or one component of it, one per cent too large."""

    def planted(*args, **kwargs):
        out = function(*args, **kwargs)
        if component is None:
            return out * 1.01
        parts = [part * 1.01 if i == component else part for i, part in enumerate(out)]
        return tuple(parts) if isinstance(out, tuple) else parts

    return planted
