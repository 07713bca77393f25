"""Argument forms of the command ``reduce``, see `recipe_system.utils.reduce_utils`."""
