"""How skmlp and PyTorch train a workload on a GPU, in the way of `peers`.

Each peer has its data on the device before it is timed, waits for nothing within an
epoch, and gathers shuffled rows there. PyTorch trains in three ways: eager, as in every
tutorial; the step captured once as a CUDA graph and replayed, the best that is done by
hand; and compiled by `torch.compile`, which captures graphs of its own. Its network is
made once and begins anew with every fit, so that no figure holds the time of capturing
or compiling.

With ``device="cpu"`` the peers run on the CPU, to try them out; there are no graphs.
"""

import math
from unittest import mock

import peers

_WARM_UP_STEPS = 11


class SkmlpOn(peers.Skmlp):
    """skmlp on a device.

    Parameters
    ----------
    workload : workloads.Workload
    data : (X, y)
        NumPy arrays: the device gets them in every fit, as in the first of a program.
    device : str
    dtype : {'float32', 'tf32'}
    """

    name = "skmlp"

    def __init__(self, workload, data, device, dtype):
        super().__init__(workload, *data, None)
        self._parameters |= {"device": device, "dtype": dtype}

    def train(self, epochs):
        """Train a new estimator for so many epochs and return it."""
        if self._parameters["device"] != "cpu":
            _forget_all()
        return super().train(epochs)


def _forget_all():
    """Give back what earlier fits left on the device, and the next may have again."""
    from numba import cuda

    from skmlp.backends.cuda.runtime import device_cache

    with cuda.gpus[0]:
        device_cache.of_device().give_back()


class SkmlpProgram(SkmlpOn):
    """skmlp on a GPU by one of its two programs, whichever the planner would choose.

    Parameters
    ----------
    workload : workloads.Workload
    data : (X, y)
    program : {'spanwise', 'stepwise'}
    """

    def __init__(self, workload, data, program):
        super().__init__(workload, data, "cuda", "float32")
        self._least = math.inf if program == "spanwise" else 0

    def train(self, epochs):
        """Train a new estimator for so many epochs and return it."""
        from skmlp.backends.cuda import plan

        with mock.patch.object(plan, "STEPWISE_FLOP", self._least):
            return super().train(epochs)


class TorchEager(peers.Torch):
    """PyTorch, an operation after the other.

    Parameters
    ----------
    workload : workloads.Workload
        Its rows are whole batches.
    data : (X, y)
    device : {'cuda', 'cpu'}
    dtype : {'float32', 'tf32'}
    """

    name = "torch eager"
    capturable = False

    def __init__(self, workload, data, device, dtype):
        import torch

        super().__init__(workload, *data, torch.get_num_threads())
        torch.set_float32_matmul_precision("high" if dtype == "tf32" else "highest")
        self._device = torch.device(device)
        self._X, self._y = self._X.to(device), self._y.to(device)
        torch.manual_seed(0)
        self._net = self._network().to(device)
        self._loss_of = self._loss()
        self._first = [p.detach().clone() for p in self._net.parameters()]
        self._optimizer = torch.optim.Adam(
            self._net.parameters(),
            lr=peers.LEARNING_RATE,
            # scikit-learn divides the penalty by the rows of the batch.
            weight_decay=peers.ALPHA / workload.batch_size,
            fused=True,
            capturable=self.capturable,
        )
        self._total = torch.zeros((), device=device)
        self._step = self._made_step()

    def _begin_anew(self):
        """Put the first weights back, in place, where captured steps find them."""
        with self._torch.no_grad():
            for parameter, first in zip(
                self._net.parameters(), self._first, strict=True
            ):
                parameter.copy_(first)
            for state in self._optimizer.state.values():
                for moment in state.values():
                    moment.zero_()

    def _loss_on(self, rows):
        return self._loss_of(self._net(self._X[rows]), self._y[rows])

    def _descend(self, loss):
        """The rest of a step; the loss stays on the device."""
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._total += loss.detach()

    def _made_step(self):
        """What is called with the row numbers of each batch."""
        return lambda rows: self._descend(self._loss_on(rows))

    def fit(self, epochs):
        """Train from the first weights; the end of it waits for the device."""
        torch, n, batch = self._torch, len(self._X), self._workload.batch_size
        self._begin_anew()
        torch.manual_seed(1)
        for _ in range(epochs):
            self._total.zero_()
            for rows in torch.randperm(n, device=self._device).split(batch):
                self._step(rows)
        return self._total.item() * batch / n

    def accuracy(self, X, y):
        """Share of some rows, NumPy arrays, whose label the network predicts."""
        torch = self._torch
        with torch.no_grad():
            found = self._net(torch.from_numpy(X).to(self._device)).argmax(1)
        return float((found.cpu().numpy() == y).mean())


class TorchGraph(TorchEager):
    """PyTorch, the step captured as a CUDA graph."""

    name = "torch graph"
    capturable = True

    def _made_step(self):
        torch = self._torch
        batch = torch.arange(self._workload.batch_size, device=self._device)

        def step():
            self._descend(self._loss_on(batch))

        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP_STEPS):
                step()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()

        def replay(rows):
            batch.copy_(rows)
            graph.replay()

        return replay


class TorchCompiled(TorchEager):
    """PyTorch, gather, network and loss by `torch.compile`, with graphs of its own."""

    name = "torch compiled"

    def _made_step(self):
        torch = self._torch
        options = {} if self._device.type == "cpu" else {"mode": "reduce-overhead"}
        # Else each step would copy all of the data to where its graphs have them.
        for data in (self._X, self._y):
            torch._dynamo.mark_static_address(data)
        # Else a second network of other sizes is compiled for sizes of any kind.
        compiled = torch.compile(self._loss_on, dynamic=False, **options)

        def step(rows):
            self._descend(compiled(rows))

        rows = torch.arange(self._workload.batch_size, device=self._device)
        for _ in range(_WARM_UP_STEPS):
            step(rows)
        return step


def torch_peers(device):
    """The ways in which PyTorch can train here; none where it is not installed.

    Parameters
    ----------
    device : {'cuda', 'cpu'}

    Returns
    -------
    list of classes
    """
    try:
        import torch
    except ImportError:
        return []
    if device == "cpu":
        return [TorchEager, TorchCompiled]
    if not torch.cuda.is_available():
        return []
    return [TorchEager, TorchGraph, TorchCompiled]
