"""The model of a data-parallel step, and its picture."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("no benchmarks here", allow_module_level=True)
sys.path.append(str(BENCHMARKS))

import cluster_plot  # noqa: E402
import step_model  # noqa: E402
from step_model import LINKS, LOCAL, MessageCosts, Network, Step  # noqa: E402

COSTS = MessageCosts(message=1e-3, byte=2e-9)
SLOW, _, FAST = LINKS


def report_of(costs, quiet):
    """Figures as `distributed.py` writes them, made by the model itself."""
    sums = [
        {
            **{"part": "sum", "workers": n_workers, "bytes": n_bytes},
            "seconds": step_model.all_reduce_seconds(n_workers, n_bytes, costs),
        }
        for n_workers in (2, 4)
        for n_bytes in (10_000, 100_000, 1_000_000)
    ]
    steps = [
        {**{"part": "step", "gradient": 0.08, "apply": 0.016}, **network._asdict()}
        for network in step_model.NETWORKS
    ]
    epochs = [{"part": "epoch", "name": "local", "seconds": 1.0}]
    return {"machine": {"quiet": quiet, "cores": 4}, "results": sums + steps + epochs}


def test_parameters_are_weights_and_intercepts():
    assert Network((3, 2, 1), 8).n_parameters == 3 * 2 + 2 + 2 * 1 + 1


def test_one_worker_sends_nothing():
    assert step_model.all_reduce_seconds(1, 10**6, COSTS, SLOW) == 0.0
    assert Step(0.5, 0.25, 100).seconds(1, COSTS, SLOW) == 0.75


def test_two_workers_send_a_message_each():
    link = step_model.Link("a link", latency=1e-4, rate=1e8)
    expected = 1e-4 + 1e-3 + 10_000 * (2e-9 + 1e-8)
    assert step_model.all_reduce_seconds(2, 10_000, COSTS, link) == pytest.approx(
        expected
    )


def test_a_long_vector_goes_in_slices():
    expected = 2 * (7 * 1e-3 + 7 / 8 * 10**8 * 2e-9)
    assert step_model.all_reduce_seconds(8, 10**8, COSTS) == pytest.approx(expected)


def test_the_rule_of_slices_is_that_of_the_workers():
    collective = pytest.importorskip("skmlp.dask.collective")
    assert step_model._LARGE == collective._LARGE


@pytest.mark.parametrize("costs", [COSTS, MessageCosts(2e-4, 1e-8)])
def test_costs_are_found_again(costs):
    measured = [
        (n_workers, n_bytes, step_model.all_reduce_seconds(n_workers, n_bytes, costs))
        for n_workers in (2, 4)
        for n_bytes in (10**4, 10**5, 10**6, 10**7)
    ]
    assert step_model.fitted_costs(measured) == pytest.approx(costs)


def test_more_processes_than_cores_wait_for_each_other():
    seconds = 2 * step_model.all_reduce_seconds(4, 10**4, COSTS)
    longer = step_model.all_reduce_seconds(2, 10**6, COSTS)
    measured = [(4, 10**4, seconds), (2, 10**6, longer)]
    assert step_model.fitted_costs(measured, cores=2) == pytest.approx(COSTS)
    step, free = Step(1.0, 0.0, 100), MessageCosts(0.0, 0.0)
    assert step.seconds(4, free, cores=2) == pytest.approx(step.seconds(2, free))
    assert step.seconds(4, free) == pytest.approx(0.25)


@pytest.mark.parametrize("link", [*LINKS, LOCAL], ids=lambda link: link.name)
def test_no_speedup_is_above_the_number_of_workers(link):
    step = Step(0.1, 0.001, 10**6)
    for between in (1, 1000):
        found = cluster_plot.speedups(step, COSTS, link, between)
        assert found[0] == 1.0
        numbers = (2, 4, 8, 16, 32, 64)
        assert all(0 < s < n for s, n in zip(found[1:], numbers, strict=True))


def test_a_small_network_gets_slower_and_rare_sums_help():
    step = Step(5e-4, 1e-6, 13_000)
    assert cluster_plot.speedups(step, COSTS, FAST)[-1] < 1
    assert cluster_plot.speedups(step, COSTS, SLOW, 1000)[3] > 4


@pytest.mark.parametrize("quiet", [True, False])
def test_the_picture_and_the_table(quiet, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    file, image = tmp_path / "found.json", tmp_path / "cluster.png"
    file.write_text(json.dumps(report_of(COSTS, quiet)))
    monkeypatch.setattr(sys, "argv", ["x.py", str(file), "--image", str(image)])
    cluster_plot.main()
    printed = capsys.readouterr().out
    assert "A message costs 1000 µs, a megabyte 2.00 ms more." in printed
    assert printed.count("every epoch") == 2 * 3 * 3
    assert image.read_bytes().startswith(b"\x89PNG")
