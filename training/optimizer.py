"""The optimizer of a recipe."""

import keras

from training.recipes import Recipe, average_momentum


def make_optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """Return AdamW (Adam without weight decay) with the recipe's learning rate schedule and moving average.

    Args:
        recipe: a row of recipes.RECIPES.
        steps: of the whole run.
    """
    rate = recipe.learning_rate
    if recipe.decay == "cosine":
        warm_up = round(recipe.warm_up * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, steps - warm_up, warmup_target=recipe.learning_rate, warmup_steps=warm_up
        )
    elif recipe.decay == "inverse":
        rate = keras.optimizers.schedules.InverseTimeDecay(rate, 1, recipe.inverse)
    average = {"use_ema": True, "ema_momentum": average_momentum(recipe.ema, steps)} if recipe.ema else {}
    optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, epsilon=recipe.epsilon, **average)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
