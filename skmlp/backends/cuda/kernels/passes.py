"""The forward and the backward pass of a batch: the phases one after the other.

Between phases that read what other threads have written, all threads of the block group
wait at `barrier`, a device function.
"""

from skmlp.backends.cuda.kernels import backward, embedding, forward, normalization
from skmlp.backends.cuda.runtime.jit import device


def forward_pass(spec, barrier):
    """All layers of a batch, forward."""
    copy_rows, layer_of = forward.copy_rows(spec), forward.layer(spec)
    copies_x, normalizes = spec.copies_x, spec.normalization is not None
    norm = normalization.norm(spec) if normalizes else copy_rows
    has_softmax, softmax = spec.softmax, normalization.softmax(spec)

    def compute(group, ctx, batch, smem):
        net = ctx.net
        if copies_x:
            copy_rows(group, ctx, batch)
            barrier()
        last = net.sizes.shape[0] - 2
        for layer in range(last + 1):
            layer_of(group, ctx, batch, layer, smem)
            barrier()
            if normalizes and layer < last:
                norm(group, ctx, batch, layer, smem)
                barrier()
            if has_softmax and layer < last and net.activation_ids[layer] < 0:
                softmax(group, ctx, batch, layer)
                barrier()

    return device(compute)


def backward_pass(spec, barrier):
    """All layers of a batch, from the loss back to the first one's gradient.

    The gradient of a layer's weights, and the update by it, share a phase with the
    deltas of the layer below: by then no delta needs these weights any more. Those by
    embedded numbers have a phase of their own.
    """
    hidden, gradient = backward.hidden_deltas(spec), backward.gradient(spec)
    normalizes = spec.normalization is not None
    sums = normalization.norm_grad_sums(spec) if normalizes else hidden
    norm_back = normalization.norm_back(spec) if normalizes else hidden
    has_softmax, softmax_back = spec.softmax, normalization.softmax_back(spec)
    embeds = spec.embeds
    embedded_deltas = embedding.embedded_deltas(spec) if embeds else hidden
    embedding_gradient = embedding.embedding_gradient(spec) if embeds else hidden

    def compute(group, ctx, batch, update, smem, row_starts):
        last = ctx.net.sizes.shape[0] - 2
        partial = 0
        for back in range(last + 1):
            layer = last - back
            if layer > 0:
                hidden(group, ctx, batch, layer, smem)
                barrier()
                if has_softmax and ctx.net.activation_ids[layer - 1] < 0:
                    softmax_back(group, ctx, batch, layer - 1)
                    barrier()
                if normalizes:
                    sums(group, ctx, batch, layer - 1, smem)
                    barrier()
                    norm_back(group, ctx, batch, layer - 1)
                    barrier()
            if embeds and layer == 0:
                embedded_deltas(group, ctx, batch, smem)
                barrier()
                embedding_gradient(group, ctx, batch, update, smem)
            partial += gradient(
                group, partial, ctx, batch, update, layer, smem, row_starts
            )

    return device(compute)
