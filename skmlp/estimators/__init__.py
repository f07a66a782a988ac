MLPClassifier = MLPRegressor = None
