"""The guide's import path; the code is in `aihub.validation`."""

from aihub.validation.validator import ModelType, ModelValidator, ValidationError

__all__ = ["ModelType", "ModelValidator", "ValidationError"]
