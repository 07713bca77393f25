"""The class `Reduce`, see `recipe_system.reduction.coreReduce`."""
