"""Data-parallel training: processes that hold parts of the rows train one network.

Every process runs the same program on its own rows. Of each minibatch every one has a
share; the gradients of the shares are added by an all-reduce, and each makes the same
step. What connects the processes is a `skmlp.training.collective.Collective`.

- `orders`: each rank's rows of each minibatch
- `session`: a session whose gradients are those of all ranks
- `scorer`: the validation score over all ranks' rows
- `facts`: what the ranks have to know of each other's data
- `replica`: the estimator that each rank trains
"""
