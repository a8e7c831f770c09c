"""The embedded network as a model of Keras, and back."""

from __future__ import annotations

import json

import keras

from .._model import Model


def to_keras(model: Model) -> keras.Model:
    """Returns a functional model of Keras with the layers and weights of ``model``, which must be built. It isn't
    compiled; ``to_keras(model).save("model.keras")`` writes it to a file.

    Raises ValueError if the model isn't built, or has embeddings of input columns, for which Keras has no layer.
    """
    network = json.loads(model._network())
    if network["input_shape"] is None:
        raise ValueError("the model isn't built: its inputs aren't known yet")
    config, names = network["config"], iter(network["names"])
    if config.get("embeddings"):
        columns = ", ".join(embedding["name"] for embedding in config["embeddings"])
        raise ValueError(f"Keras has no layer for the embeddings of the columns {columns}")
    weights = model.get_weights()
    inputs = keras.Input(network["input_shape"], dtype="float32")
    made = []

    def chain(value, layers):
        outputs = {}
        for layer in layers:
            name = next(names)
            settings = dict(layer["config"], name=name)
            earlier = settings.pop("from", None)
            layer = getattr(keras.layers, layer["class_name"]).from_config(settings)
            value = layer(value) if earlier is None else layer([value, outputs[earlier]])
            outputs[name] = value
            made.append(layer)
        return value

    trunk = chain(inputs, config["layers"])
    heads = [chain(trunk, head["layers"]) for head in config.get("outputs", ())]
    result = keras.Model(inputs, heads or trunk)
    for layer in made:
        layer.set_weights([weights[f"{layer.name}/{weight.name}"] for weight in layer.weights])
    return result


def from_keras(model: keras.Model, seed: int = 0) -> Model:
    """Returns the embedded network with the layers and weights of a model of Keras: sequential, or functional with one
    input, one or several outputs that branch off at one place, and sums with an earlier layer (``keras.layers.Add``).
    ``from_keras(keras.saving.load_model("model.keras"))`` reads a file. The network isn't compiled; ``seed`` is its
    seed.

    Raises ValueError if a layer isn't one of the embedded network's, or the layers are connected in another way.
    """
    if not isinstance(model, (keras.Sequential, keras.Model)) or not model.built:
        raise ValueError("the model has no shape yet: call its `build`, or give it an `Input`")
    functional = model._functional if isinstance(model, keras.Sequential) else model
    if not hasattr(functional, "_nodes_by_depth"):
        raise ValueError("a model that is a subclass has no list of layers: build it with the functional API")
    if len(functional.inputs) != 1:
        raise ValueError(f"the embedded network has one input; this model has {len(functional.inputs)}")
    order = {layer.name: place for place, layer in enumerate(functional.layers)}
    chains = [_chain(tensor, order) for tensor in functional.outputs]
    shared = 0
    if len(chains) > 1:
        # Each output has a layer of its own.
        while all(len(chain) > shared + 1 for chain in chains) and len({id(chain[shared]) for chain in chains}) == 1:
            shared += 1
        heads = [chain[shared:] for chain in chains]
    else:
        shared, heads = len(chains[0]), []
    trunk = chains[0][:shared]
    layers = [*trunk, *(layer for head in heads for layer in head)]
    used = {layer.name for layer in layers}
    others = [layer for layer in functional.layers if not isinstance(layer, keras.layers.InputLayer)]
    lost = [layer.name for layer in others if layer.name not in used]
    if lost or len(used) != len(layers):
        raise ValueError(f"the layers are neither a sequence nor heads of one: {', '.join(lost or sorted(used))}")
    config = {"layers": [_config(layer, order) for layer in trunk]}
    if heads:
        outputs = ((head[-1].name, [_config(layer, order) for layer in head]) for head in heads)
        config["outputs"] = [{"name": name, "layers": head} for name, head in outputs]
    made = Model(config, seed=seed)
    made.build(functional.inputs[0].shape[1:])
    weights = ((f"{layer.name}/{weight.name}", weight) for layer in layers for weight in layer.weights)
    made.set_weights({path: keras.ops.convert_to_numpy(weight) for path, weight in weights})
    return made


def _parents(layer):
    """Returns the layers whose outputs are the inputs of a layer."""
    nodes = layer._inbound_nodes
    if len(nodes) != 1:
        message = f'the layer "{layer.name}" is used in {len(nodes)} places'
        raise ValueError(f"{message}; the embedded network has no shared layers")
    return [tensor._keras_history.operation for tensor in nodes[0].input_tensors]


def _chain(tensor, order):
    """Returns the layers from the input to an output. Of the two inputs of a sum, the later layer is on it."""
    chain = []
    layer = tensor._keras_history.operation
    while not isinstance(layer, keras.layers.InputLayer):
        chain.append(layer)
        parents = _parents(layer)
        if len(parents) != (2 if isinstance(layer, keras.layers.Add) else 1):
            raise ValueError(f'the layer "{layer.name}" has {len(parents)} inputs')
        layer = max(parents, key=lambda parent: order.get(parent.name, -1))
    return chain[::-1]


def _config(layer, order):
    if isinstance(layer, keras.layers.Add):
        earlier = min(_parents(layer), key=lambda parent: order.get(parent.name, -1))
        return {"class_name": "Add", "config": {"name": layer.name, "from": earlier.name}}
    return keras.saving.serialize_keras_object(layer)
