"""Profiles: mergeable summaries of tables, the only thing that is kept of training data."""

from aihub.validation.profile.categories import CategorySummary
from aihub.validation.profile.common import CommonBins
from aihub.validation.profile.histogram import FloatHistogram
from aihub.validation.profile.numeric import Moments, NumericSummary, finite_moments, moments_of
from aihub.validation.profile.table import Profile, ProfileSpec

__all__ = [
    "CategorySummary",
    "CommonBins",
    "FloatHistogram",
    "Moments",
    "NumericSummary",
    "Profile",
    "ProfileSpec",
    "finite_moments",
    "moments_of",
]
