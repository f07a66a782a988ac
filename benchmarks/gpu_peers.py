"""How skmlp and PyTorch train a workload on a GPU, with the interface of `peers`.

PyTorch trains in two ways: eager, as in every tutorial; and with the step captured once
as a CUDA graph and replayed, the best that is done by hand. Its data are on the device
before it is timed, its loss stays there, and its network is created once and reset by
every fit, so that no figure includes the capture. Nothing is synchronized within an
epoch.

With ``device="cpu"`` the peers run on the CPU, to try them out; there are no graphs.
"""

import peers

_WARM_UP_STEPS = 11


class SkmlpOn(peers.Skmlp):
    """skmlp on a device.

    Parameters
    ----------
    workload : workloads.Workload
    data : (X, y)
        NumPy arrays. Every fit uploads them, as the first fit of a program does.
    device : str
    precision : {'highest', 'tf32'}
        Of matrix products.
    """

    name = "skmlp"

    def __init__(self, workload, data, device, precision="highest"):
        super().__init__(workload, *data, None)
        self._parameters |= {"device": device, "dtype": "float32"}
        if precision != "highest":
            self._parameters["matmul_precision"] = precision

    def train(self, epochs):
        """Train a new estimator for some epochs and return it."""
        if self._parameters["device"] != "cpu":
            _empty_device_cache()
        return super().train(epochs)


def _empty_device_cache():
    """Remove what earlier fits left on the device for later fits to reuse."""
    from numba import cuda

    from skmlp.backends.cuda.runtime import device_cache

    with cuda.gpus[0]:
        device_cache.current().evict()


class TorchEager(peers.Torch):
    """PyTorch, one operation after the other.

    Parameters
    ----------
    workload : workloads.Workload
        Its rows are whole batches.
    data : (X, y)
    device : {'cuda', 'cpu'}
    precision : {'highest', 'tf32'}
    """

    name = "torch eager"
    capturable = False

    def __init__(self, workload, data, device, precision="highest"):
        import torch

        super().__init__(workload, *data, torch.get_num_threads())
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
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
        self._step = self._make_step()

    def _reset(self):
        """Restore the first weights in place, where captured steps read them."""
        with self._torch.no_grad():
            for parameter, first in zip(
                self._net.parameters(), self._first, strict=True
            ):
                parameter.copy_(first)
            for state in self._optimizer.state.values():
                for moment in state.values():
                    moment.zero_()

    def _train_on(self, rows):
        """One step; the loss stays on the device."""
        loss = self._loss_of(self._net(self._X[rows]), self._y[rows])
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._total += loss.detach()

    def _make_step(self):
        """The function that is called with the row ids of each batch."""
        return self._train_on

    def fit(self, epochs):
        """Train from the first weights; reading the loss waits for the device."""
        torch, n, batch = self._torch, len(self._X), self._workload.batch_size
        self._reset()
        torch.manual_seed(1)
        for _ in range(epochs):
            self._total.zero_()
            for rows in torch.randperm(n, device=self._device).split(batch):
                self._step(rows)
        return self._total.item() * batch / n

    def accuracy(self, X, y):
        """Fraction of rows, NumPy arrays, whose label the network predicts."""
        torch = self._torch
        with torch.no_grad():
            labels = self._net(torch.from_numpy(X).to(self._device)).argmax(1)
        return float((labels.cpu().numpy() == y).mean())


class TorchGraph(TorchEager):
    """PyTorch, the step captured as a CUDA graph."""

    name = "torch graph"
    capturable = True

    def _make_step(self):
        torch = self._torch
        batch = torch.arange(self._workload.batch_size, device=self._device)
        side_stream = torch.cuda.Stream()
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            for _ in range(_WARM_UP_STEPS):
                self._train_on(batch)
        torch.cuda.current_stream().wait_stream(side_stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._train_on(batch)

        def replay(rows):
            batch.copy_(rows)
            graph.replay()

        return replay


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
        return [TorchEager]
    return [TorchEager, TorchGraph] if torch.cuda.is_available() else []
