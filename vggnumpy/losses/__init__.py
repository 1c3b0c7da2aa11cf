"""Losses on features and regularisers on pixels, each returned with its exact gradient.

Every loss is a function → ``(value, gradient)``: a float64 scalar and the derivative of that very value, in the
shape and dtype of its first argument.  Normalisation is an argument and is named after its source.

Losses that depend on the features only through sums over positions also come in three parts, so that strips of
rows, tiles of an image and separate workers can each add their share:

* ``…_statistics(F, …)`` — additive over positions;
* ``…_value(statistics, …)`` — the value, and its derivative with respect to the statistics;
* ``…_cotangent(F, …)`` — the derivative with respect to the features, position by position.

Where the MatConvNet report prints another gradient than the derivative of its loss, `printed` has it, under a name that
says so.
"""

from vggnumpy.losses.content import content, content_cotangent, content_statistics, content_value
from vggnumpy.losses.covariation import (
    CovariationStatistics,
    CovariationTarget,
    content_components,
    covariation,
    covariation_cotangent,
    covariation_maps,
    covariation_maps_cotangent,
    covariation_statistics,
    covariation_target,
    covariation_value,
    standardised_content,
)
from vggnumpy.losses.gram import (
    GramStatistics,
    gram,
    gram_cotangent,
    gram_factor,
    gram_mixture,
    gram_statistics,
    gram_value,
)
from vggnumpy.losses.local_gram import LocalGramTarget, local_gram, local_gram_target
from vggnumpy.losses.patches import PatchMatches, PatchTarget, patches, patches_match, patches_target
from vggnumpy.losses.printed import active_part, content_printed, gram_printed_cotangent, gram_printed_gradient
from vggnumpy.losses.regions import (
    RegionStatistics,
    regions,
    regions_cotangent,
    regions_statistics,
    regions_value,
)
from vggnumpy.losses.regularizers import size, variation
from vggnumpy.losses.self_convolution import (
    SelfConvolutionTarget,
    autocorrelation,
    autocorrelation_map,
    self_convolution,
    self_convolution_map,
    self_convolution_target,
)

__all__ = [
    "CovariationStatistics",
    "CovariationTarget",
    "GramStatistics",
    "LocalGramTarget",
    "PatchMatches",
    "PatchTarget",
    "RegionStatistics",
    "SelfConvolutionTarget",
    "active_part",
    "autocorrelation",
    "autocorrelation_map",
    "content",
    "content_components",
    "content_cotangent",
    "content_printed",
    "content_statistics",
    "content_value",
    "covariation",
    "covariation_cotangent",
    "covariation_maps",
    "covariation_maps_cotangent",
    "covariation_statistics",
    "covariation_target",
    "covariation_value",
    "gram",
    "gram_cotangent",
    "gram_factor",
    "gram_mixture",
    "gram_printed_cotangent",
    "gram_printed_gradient",
    "gram_statistics",
    "gram_value",
    "local_gram",
    "local_gram_target",
    "patches",
    "patches_match",
    "patches_target",
    "regions",
    "regions_cotangent",
    "regions_statistics",
    "regions_value",
    "self_convolution",
    "self_convolution_map",
    "self_convolution_target",
    "size",
    "standardised_content",
    "variation",
]
