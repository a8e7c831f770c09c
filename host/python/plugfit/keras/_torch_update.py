"""An optimizer's update of Keras's variables on PyTorch's backend, by the plug-in in place."""

from __future__ import annotations

import torch


def apply(given, formula, variables, grads, slots, learning_rate, iterations):
    """Updates the variables and their slots, a dict for each variable, if the plug-in can do it: if all tensors are
    float32 in C order on the CPU, and those that it writes share no memory. Returns whether it did."""
    if torch.compiler.is_compiling():
        return False
    values = [variable.value for variable in variables]
    tensors = [*values, *grads, *(slot.value for each in slots for slot in each.values())]
    if not all(map(_fits, tensors)):
        return False
    names = [given._slot_names(list(value.shape)) for value in values]
    if any(one is None or set(one) != set(formula.slots) for one in names):
        return False
    written = [*values, *(slot.value for each in slots for slot in each.values())]
    if _share_memory(written):
        return False
    if _share_memory([*written, *grads]):
        # Variables may have one gradient, and it may be the value of a variable.
        grads = [grad.clone() for grad in grads]
    arrays = [[each[name].value.detach().numpy() for name in one] for one, each in zip(names, slots)]
    given._update(list(map(_array, values)), list(map(_array, grads)), arrays, float(learning_rate), int(iterations))
    # Autograd refuses to use the values from before.
    torch.autograd.graph.increment_version(values)
    return True


def _fits(tensor):
    is_plain = type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.layout is torch.strided
    return is_plain and tensor.device.type == "cpu" and tensor.dtype is torch.float32 and tensor.is_contiguous()


def _share_memory(tensors):
    """Returns whether two of the tensors share memory."""
    places = sorted((tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes) for tensor in tensors if tensor.numel())
    return any(end > start for (_, end), (start, _) in zip(places, places[1:]))


def _array(tensor):
    return tensor.detach().numpy()
