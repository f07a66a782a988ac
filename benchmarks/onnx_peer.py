"""ONNX Runtime: a fitted estimator of scikit-learn as an ONNX graph."""


class OnnxRuntime:
    """The predictions of a fitted estimator of scikit-learn.

    Parameters
    ----------
    estimator : sklearn.neural_network.MLPClassifier or MLPRegressor
    X : ndarray
        Of the shape and dtype of the rows to predict.
    threads : int
    """

    name = "onnx"

    def __init__(self, estimator, X, threads):
        import onnxruntime
        import skl2onnx

        is_classifier = hasattr(estimator, "classes_")
        options = {id(estimator): {"zipmap": False}} if is_classifier else None
        graph = skl2onnx.to_onnx(estimator, X[:1], options=options)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            graph.SerializeToString(), settings, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        outputs = [output.name for output in self._session.get_outputs()]
        self._labels, self._probabilities = outputs[:1], outputs[1:2]

    def predict(self, X):
        """Labels, or numbers."""
        found = self._session.run(self._labels, {self._input: X})[0]
        return found if found.ndim == 1 else found.ravel()

    def predict_proba(self, X):
        """Probabilities."""
        return self._session.run(self._probabilities, {self._input: X})[0]
