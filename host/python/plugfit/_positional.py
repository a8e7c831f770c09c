"""The order of Keras's positional arguments, if it isn't a component's own settings followed by those of the base
class."""

#: The settings of every optimizer, in the order of Keras's arguments.
OPTIMIZER_BASE = (
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "loss_scale_factor",
    "gradient_accumulation_steps",
)
_NAMED = ("name", "dtype")
_ROW = ("name", "dtype", "axis")
_IOU = ("ignore_class", "sparse_y_true", "sparse_y_pred", "axis")
_ONE_HOT_IOU = ("ignore_class", "sparse_y_pred", "axis")

ORDER = {
    ("loss", "Dice"): ("reduction", "name", "axis", "dtype"),
    ("loss", "SparseCategoricalCrossentropy"): ("from_logits", "ignore_class", "reduction", "axis", "name", "dtype"),
    ("loss", "Tversky"): ("alpha", "beta", "reduction", "name", "axis", "dtype"),
    ("metric", "AUC"): ("num_thresholds", "curve", "summation_method", "name", "dtype", "thresholds"),
    ("metric", "BinaryAccuracy"): ("name", "dtype", "threshold"),
    ("metric", "BinaryCrossentropy"): _NAMED,
    ("metric", "CategoricalCrossentropy"): _NAMED,
    ("metric", "ConcordanceCorrelation"): _ROW,
    ("metric", "CosineSimilarity"): _ROW,
    ("metric", "IoU"): ("num_classes", "target_class_ids", "name", "dtype", *_IOU),
    ("metric", "MeanIoU"): ("num_classes", "name", "dtype", *_IOU),
    ("metric", "OneHotIoU"): ("num_classes", "target_class_ids", "name", "dtype", *_ONE_HOT_IOU),
    ("metric", "OneHotMeanIoU"): ("num_classes", "name", "dtype", *_ONE_HOT_IOU),
    ("metric", "PearsonCorrelation"): _ROW,
    ("metric", "SparseTopKCategoricalAccuracy"): ("k", "name", "dtype"),
    ("optimizer", "AdamW"): ("learning_rate", "weight_decay"),
    ("optimizer", "LossScaleOptimizer"): ("inner_optimizer", "initial_scale", "dynamic_growth_steps", "name"),
    ("optimizer", "MultiOptimizer"): ("optimizer_map", "loss_scale_factor", "name"),
    ("optimizer", "Muon"): (
        "learning_rate",
        "adam_beta_1",
        "adam_beta_2",
        "adam_weight_decay",
        "epsilon",
        *OPTIMIZER_BASE,
        "name",
    ),
    ("schedule", "CosineDecay"): ("initial_learning_rate", "decay_steps", "alpha", "name"),
}


def order(kind, name, fields, base, of_loss):
    """Returns the names of a class's arguments in order.

    ``fields`` are the component's own settings, ``base`` those of every component of the kind. ``of_loss`` is true for
    a metric made of a loss.
    """
    own = [key for key in fields if key not in base]
    if of_loss:
        return ["name", "dtype", *own]
    first = ORDER.get((kind, name), ())
    if {"inner_optimizer", "optimizer_map"} & set(own):
        # The inner optimizers have the settings of every optimizer.
        return list(first or [*own, *base])
    if kind == "optimizer":
        own.insert(0, "learning_rate")
    return list(dict.fromkeys([*first, *own, *base]))
