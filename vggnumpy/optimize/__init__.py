"""Minimise a function of an array from its value and gradient: L-BFGS, gradient descent, momentum, Adam.

`minimize` is the one call, in SciPy's terms.  Each method is also a generator of `Step`, for a loop that plots,
stops or saves as it likes.
"""

from vggnumpy.optimize.driver import minimize
from vggnumpy.optimize.evaluation import End, Step
from vggnumpy.optimize.first_order import adam, constant, exponential, gradient_descent, linear, momentum, stepwise
from vggnumpy.optimize.fixed_rate import lbfgs_fixed_rate
from vggnumpy.optimize.lbfgs import lbfgs

__all__ = [
    "End",
    "Step",
    "adam",
    "constant",
    "exponential",
    "gradient_descent",
    "lbfgs",
    "lbfgs_fixed_rate",
    "linear",
    "minimize",
    "momentum",
    "stepwise",
]
