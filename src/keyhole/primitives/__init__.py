"""The steps: thin functions on frames, each with its parameter model beside it."""

from __future__ import annotations

from keyhole.primitives.base import REGISTRY, Context, Params, Primitive

__all__ = ["REGISTRY", "Context", "Params", "Primitive"]
