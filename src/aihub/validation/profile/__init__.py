"""Profiles: mergeable summaries of tables, the only thing that is kept of training data."""

from aihub.validation.profile.categories import CategorySummary
from aihub.validation.profile.histogram import FloatHistogram, common_bins
from aihub.validation.profile.numeric import Moments, NumericSummary, finite_moments, moments_of
from aihub.validation.profile.table import Profile, ProfileSpec

__all__ = [
    "CategorySummary",
    "FloatHistogram",
    "Moments",
    "NumericSummary",
    "Profile",
    "ProfileSpec",
    "common_bins",
    "finite_moments",
    "moments_of",
]
