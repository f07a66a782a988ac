"""The phases of a minibatch one after the other, forward and back.

`meet` is where all threads of the team wait for each other, between phases that read
what others have written.
"""

from skmlp.backends.cuda.kernels import backward, forward, normalization
from skmlp.backends.cuda.runtime.jit import device


def forward_way(spec, meet):
    """All layers of a batch, forward."""
    load, layer_of = forward.load(spec), forward.layer(spec)
    loaded, normalizes = spec.loaded, spec.normalization is not None
    norm = normalization.norm(spec) if normalizes else load
    has_softmax, softmax = spec.softmax, normalization.softmax(spec)

    def compute(team, net, data, room, extras, batch, parameters, strips):
        if loaded:
            load(team, net, data, room, extras, batch)
            meet()
        last = net.sizes.shape[0] - 2
        for layer in range(last + 1):
            layer_of(team, net, data, room, extras, batch, parameters, layer, strips)
            meet()
            if normalizes and layer < last:
                norm(team, net, room, extras, batch, parameters, layer, strips)
                meet()
            if has_softmax and layer < last and net.codes[layer] < 0:
                softmax(team, net, room, extras, batch, layer)
                meet()

    return device(compute)


def back_way(spec, meet):
    """All layers of a batch, from the loss back to the first one's gradient."""
    hidden, gradient = backward.hidden_deltas(spec), backward.gradient(spec)
    normalizes = spec.normalization is not None
    sums = normalization.norm_sums(spec) if normalizes else hidden
    norm_back = normalization.norm_back(spec) if normalizes else hidden
    has_softmax, softmax_back = spec.softmax, normalization.softmax_back(spec)

    def compute(team, net, data, room, extras, batch, parameters, step, strips, starts):
        last = net.sizes.shape[0] - 2
        partial = 0
        for back in range(last + 1):
            layer = last - back
            if layer > 0:
                hidden(team, net, room, extras, batch, parameters, layer, strips)
                meet()
                if has_softmax and net.codes[layer - 1] < 0:
                    softmax_back(team, net, room, batch, layer - 1)
                    meet()
                if normalizes:
                    sums(team, net, room, batch, layer - 1, strips)
                    meet()
                    norm_back(team, net, room, batch, parameters, layer - 1)
                    meet()
            partial += gradient(
                *(team, partial, net, data, room, batch, parameters, step),
                *(layer, strips, starts),
            )

    return device(compute)
