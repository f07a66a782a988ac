"""matplotlib: imported by the first picture, and asked for by name where it lacks."""

import subprocess
import sys

import numpy as np
import pytest

import skmlp
from skmlp.estimators.diagnosis import LayerTable

DISPLAYS = [
    skmlp.ActivationDisplay(table=LayerTable([1], 1, 0.0)),
    skmlp.LearningRateRangeDisplay(
        learning_rates=np.ones(3),
        losses=np.ones(3),
        smoothed_losses=np.ones(3),
        suggestion=0.1,
    ),
    skmlp.LossCurveDisplay(curves=[]),
    skmlp.PredictionIntervalDisplay(
        lower=np.zeros((3, 1)), upper=np.ones((3, 1)), levels=np.array([0.9])
    ),
    skmlp.WeightsDisplay(coefs=[np.ones((2, 2))]),
]


@pytest.mark.parametrize("display", DISPLAYS, ids=lambda each: type(each).__name__)
def test_without_matplotlib_a_picture_names_the_extra(display, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    name = type(display).__name__
    message = (
        rf"^{name}\.plot requires matplotlib\. You can install matplotlib with "
        r'`pip install "skmlp\[plot\]"`$'
    )
    with pytest.raises(ImportError, match=message):
        display.plot()


def test_importing_skmlp_and_searching_a_rate_import_no_matplotlib():
    code = """if True:
        import sys
        import numpy as np
        import skmlp
        X = np.random.default_rng(0).normal(size=(400, 3))
        result = skmlp.learning_rate_range(
            skmlp.MLPRegressor(random_state=0), X, X[:, 0]
        )
        assert 1e-5 < result.suggestion < 1
        assert not any(name.startswith("matplotlib") for name in sys.modules)
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
