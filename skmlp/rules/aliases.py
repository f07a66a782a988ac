"""What other libraries call the rules, for the messages about unknown names.

Keras, PyTorch, JAX, XGBoost, LightGBM, CatBoost and older releases of scikit-learn.
`ALIASES` has, by parameter, their names of each of our rules. `ADVICE` has what to do
where we have no such rule, but another parameter does the same. All names of others are
in lower case, without separators: 'crossentropy' is 'Cross-Entropy', too.
"""

_ACTIVATIONS = {
    "identity": "linear none no passthrough",
    "logistic": "sigmoid sigm logit expit sigmoidal",
    "tanh": "hyperbolictangent tangent tansig",
    "relu": "rectifier rectified rectlin rectifiedlinear reluactivation",
    "leaky_relu": "lrelu leaky prelu rrelu",
    "gelu": "gaussianerrorlinearunit",
    "gelu_tanh": "gelunew gelufast geluapprox",
    "silu": "swish siluswish",
    "softplus": "smoothrelu",
    "hard_tanh": "hardtanh",
    "hard_sigmoid": "hardsigmoid",
    "arctan": "atan",
    "algebraic": "isru",
    "softmax": "softargmax",
    "exp": "exponential log",
}
_LOSSES = {
    "squared_error": "mse meansquarederror squaredloss squarederror l2 l2loss "
    "squared ls leastsquares regsquarederror regression rmse rootmeansquarederror "
    "brier brierscore gaussian normal",
    "absolute_error": "mae meanabsoluteerror l1 l1loss lad leastabsolutedeviation "
    "regabsoluteerror absolute regressionl1 median absoluteloss",
    "quantile": "pinball pinballloss quantileloss quantileerror regquantileerror",
    "huber": "huberloss smoothl1 smoothl1loss smoothmae pseudohuber "
    "regpseudohubererror",
    "log_cosh": "logcosh",
    "gaussian_nll": "gaussiannll gaussiannllloss nllgaussian mve "
    "heteroscedastic rmsewithuncertainty",
    "poisson": "poissonnll poissonnllloss poissonloss countpoisson halfpoisson "
    "poissondeviance counts",
    "gamma": "reggamma gammadeviance halfgamma",
    "tweedie": "regtweedie tweediedeviance halftweedie",
    "log_loss": "crossentropy binarycrossentropy categoricalcrossentropy "
    "sparsecategoricalcrossentropy log logloss nll nllloss bce bceloss "
    "bcewithlogits bcewithlogitsloss crossentropyloss softmaxcrossentropy logistic "
    "binarylogistic multisoftmax multisoftprob binary multiclass deviance "
    "binomialdeviance entropy xentropy ce softmax sigmoid multilogloss",
    "hinge": "hingeloss svm binaryhinge categoricalhinge multimarginloss marginloss "
    "hingeembeddingloss",
    "squared_hinge": "squaredhinge l2svm",
    "focal": "focalloss sigmoidfocalloss binaryfocalcrossentropy "
    "categoricalfocalcrossentropy",
}
_SOLVERS = {
    "sgd": "momentum gradientdescent minibatch stochasticgradientdescent msgd gd",
    "adam": "default auto",
    "rmsprop": "rms",
    "lbfgs": "lbfgsb bfgs newtoncg newton quasinewton scipy fmincg",
}
_SCHEDULES = {
    "constant": "none fixed const off",
    "invscaling": "inverse inversetime inversetimedecay invsqrt optimal",
    "cosine": "cos cosineannealing cosineannealinglr cosinedecay",
    "one_cycle": "onecycle onecyclelr 1cycle",
    "coslog": "coslog4 coslogs cosinelog",
    "flat_cosine": "flatcos flatcosine flatandcosine flatthencosine flatandanneal",
    "exponential": "exponentiallr exponentialdecay exp",
    "step": "steplr multisteplr piecewiseconstantdecay",
    "plateau": "reducelronplateau reduceonplateau",
}
_INITIALIZERS = {
    "auto": "default random",
    "glorot_uniform": "xavier glorot xavieruniform uniform",
    "glorot_normal": "xaviernormal normal truncatednormal randomnormal",
    "he_uniform": "he kaiming kaiminguniform msra",
    "he_normal": "kaimingnormal",
    "lecun_normal": "lecun lecunn",
    "orthogonal": "ortho qr",
}
ALIASES = {
    "activation": _ACTIVATIONS,
    "out_activation": _ACTIVATIONS,
    "loss": _LOSSES,
    "solver": _SOLVERS,
    "learning_rate": _SCHEDULES,
    "weight_decay_schedule": _SCHEDULES,
    "dropout_schedule": _SCHEDULES,
    "weight_init": _INITIALIZERS,
}

ADVICE = {
    "activation": {
        "exp exponential": "It is an output activation: out_activation='exp' of "
        "MLPRegressor.",
    },
    "solver": {
        "adamw nadamw decoupledadam": "Use solver='adam' with weight_decay > 0, which "
        "is decoupled from the gradient as in AdamW.",
        "sgdw": "Use solver='sgd' with weight_decay > 0.",
        "nesterov nag": "Use solver='sgd' with nesterovs_momentum=True, the default.",
        "adamax": "It is not there: the nearest is solver='amsgrad' or 'adam'.",
        "radam": "It is not there: the nearest is solver='adam' with warmup_epochs.",
    },
    "learning_rate": {
        "auto adaptivelearningrate": "The adaptive step sizes are those of the solver, "
        "as solver='adam'.",
        "warmup linearwarmup": "Use warmup_epochs, which goes with every schedule.",
    },
    "weight_init": {
        "zeros zero ones constant": "Equal weights of the units of a layer would stay "
        "equal. Arrays of your own can be passed as a pair (coefs, intercepts).",
    },
}
