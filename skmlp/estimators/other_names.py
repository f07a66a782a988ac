"""What other libraries call the parameters, for messages about unknown names.

Keras, PyTorch, skorch, XGBoost, LightGBM, CatBoost and older releases of scikit-learn.
All names of others are in lower case, without separators. `skmlp.rules.aliases` has
the names of rules.
"""

from skmlp.rules.losses import DELTA, LABEL_SMOOTHING, POWER, QUANTILE

# What others call the number of units of an autoencoder's code.
CODE_SIZE = (
    "ncomponents latentdim latentdims latentsize encodingdim encodingsize codesize "
    "codedim code bottleneck bottlenecksize embeddingsize nlatent zdim"
)
PARAMETERS = {
    "hidden_layer_sizes": "hiddenlayers hiddenlayer hiddenlayersize hiddensizes "
    "hiddensize hiddenunits hiddendim hiddendims nhidden hidden units unit layers "
    "layer layersizes layersize nunits nneurons neurons nodes architecture network "
    "nlayers numlayers numhiddenlayers nhiddenlayers width depth sizes",
    "activation": "activationfunction activationfn actfn activationfunc act "
    "nonlinearity hiddenactivation activations transfer",
    "solver": "optimizer optim optimiser algorithm opt method updater",
    "alpha": "l2 l2reg l2regularization l2penalty l2regularizer reglambda lambda "
    "lambdal2 l2leafreg reg regularization regularizer penalty kernelregularizer "
    "ridge",
    "weight_decay": "wd weightdecay decoupledweightdecay decoupledl2",
    "batch_size": "batch batchsize minibatchsize minibatch bs batches",
    "learning_rate_init": "lr eta eta0 learningrateinitial initiallearningrate "
    "initiallr baselr maxlr lrinit shrinkage learnrate stepsize",
    "learning_rate": "scheduler lrscheduler lrschedule schedule learningrateschedule "
    "lrpolicy decaypolicy",
    "max_iter": "epochs epoch nepochs numepochs nbepoch nbepochs maxepochs maxepoch "
    "niter niters niterations iterations numiterations numiters maxiterations "
    "maxiters nestimators numboostround trainingepochs nepoch",
    "n_iter_no_change": "patience earlystoppingrounds earlystoppingpatience "
    "earlystoppinground niternoimprovement odwait",
    "early_stopping": "earlystop earlystopping useearlystopping",
    "validation_fraction": "validationsplit valsize valfraction valsplit "
    "validationsize testsize evalfraction",
    "random_state": "seed randomseed randomstate rng rngseed torchseed key",
    "scoring": "metric metrics evalmetric score scorer scorefunc",
    "tol": "tolerance mindelta minimprovement",
    "verbose": "verbosity silent loglevel progress progressbar logginglevel",
    "warm_start": "warmstart resume incremental reuseweights",
    "nesterovs_momentum": "nesterov nesterovmomentum usenesterov",
    "beta_1": "beta1 betas b1",
    "beta_2": "beta2 b2",
    "epsilon": "eps adamepsilon",
    "dropout": "dropoutrate dropoutprob droprate dropoutp dropoutprobability "
    "hiddendropout dropoutrates pdropout",
    "input_noise": "noise gaussiannoise noisestd",
    "normalization": "batchnorm batchnormalization usebatchnorm usebn bn layernorm "
    "layernormalization norm normlayer",
    "max_norm": "maxnorm kernelconstraint maxweightnorm weightconstraint",
    "max_grad_norm": "clipnorm gradclip gradientclip gradclipnorm maxgradientnorm "
    "clipvalue gradientclipval gradientclipping clip globalclipnorm",
    "warmup_epochs": "warmup warmupsteps nwarmup warmupratio",
    "best_epoch": "uselastbestepoch uselastbest lastbestepoch lastbest keeplast",
    "weight_decay_schedule": "wdschedule wdsched weightdecaysched decayschedule "
    "weightdecayscheduler",
    "dropout_schedule": "dropoutsched pdropsched dropoutscheduler pdropschedule "
    "dropoutrateschedule",
    "learning_rate_factors": "lrmultipliers lrmultiplier lrmult lrfactors lrfactor "
    "lrscales layerlr layerlrs layerwiselr layerwiselearningrates parametrization "
    "paramgroups ntk learningratemultipliers discriminativelr",
    "bias_learning_rate_factor": "biaslr biaslrfactor biaslrmult biaslrmultiplier "
    "biaslearningrate biaslearningratemultiplier",
    "decay_factor": "gamma lrdecay decayrate lrgamma",
    "weight_init": "init initializer kernelinitializer weightsinit initmethod "
    "initialization weightinitializer initializers",
    "fit_intercept": "usebias bias intercept",
    "out_activation": "outputactivation finalactivation lastactivation "
    "outactivationfunction outputnonlinearity outact",
    "loss": "criterion objective lossfunction lossfn lossfunc cost costfunction "
    "errorfunction",
    "max_time": "timelimit maxseconds timeout timebudget maxruntime maxtime",
    "n_jobs": "numthreads nthreads nthread threads numworkers nworkers threadcount "
    "ncores workers ncpus njobs",
    "device": "gpu usegpu cuda accelerator devices tasktype devicetype ngpus",
    "dtype": "precision floattype floatx",
    "class_weight": "classweights weights scaleposweight isunbalance posweight",
    "shuffle": "shuffling shuffledata",
    "scale_target": "scaletargets targetscale targetscaling normalizey normalizetarget "
    "normalizetargets targetnormalization standardizey standardizetarget "
    "standardizetargets scaley scaleoutput scaleoutputs yscaler targetscaler "
    "transformtarget transformy targettransform",
    LABEL_SMOOTHING.name: "smoothing labelsmooth smooth",
    QUANTILE.name: "quantiles q tau quantilealpha levels",
    DELTA.name: "huberdelta huberslope deltahuber",
    POWER.name: "tweediepower tweedievariancepower variancepower",
}

_VALIDATION = "Pass validation data to fit: fit(X, y, X_val=..., y_val=...)."
_FROM_DATA = "Leave it out: the data say it."
# Sentences for what is no parameter of the estimators by any name.
ADVICE = {
    "evalset validationdata validset validsets valdata evaldata devset validationset "
    "valset evalsets evalnames": _VALIDATION,
    "callbacks callback": "Callbacks are those of scikit-learn 1.9 and later: "
    "set_callbacks(...). early_stopping, max_time and verbose do what most are used "
    "for.",
    "l1 l1reg regalpha l1ratio elasticnet lambdal1": "There is no L1 penalty; alpha is "
    "that of L2.",
    "c": "alpha is the strength of the L2 penalty, the inverse of C.",
    "decay": "weight_decay shrinks the weights; learning_rate and decay_factor lower "
    "the learning rate.",
    "inputdim inputshape inputsize nfeatures infeatures nin indim numfeatures "
    "nclasses numclass numclasses noutputs outputdim outdim outputsize nout "
    "outfeatures featurenames": _FROM_DATA,
    "evalsampleweight sampleweightevalset sampleweightvalidation valsampleweight "
    "weightval evalweights": "Pass the weights of validation data to fit: "
    "sample_weight_val=...",
    "oobscore bootstrap maxdepth maxfeatures numleaves subsample colsamplebytree "
    "minsamplesleaf booster treemethod": "That is a parameter of trees.",
    "kernel degree probability decisionfunctionshape": "That is a parameter of support "
    "vector machines.",
    "categoricalfeatures catfeatures categoricalfeature enablecategorical": "Encode "
    "categories before: ColumnTransformer with OneHotEncoder or TargetEncoder, in a "
    "Pipeline.",
    "normalize standardize scale scalex": "Put a StandardScaler before, in a Pipeline.",
    "module model net": "The network is given by hidden_layer_sizes and activation.",
    "classes": "classes is an argument of partial_fit of MLPClassifier.",
    "stepsperepoch": "An epoch is all rows; batch_size sets how many steps it has.",
}
# Arguments of `fit` by other names.
ARGUMENTS = {
    "sample_weight": "sampleweights weight weights sampleweighting rowweight "
    "instanceweight",
    "X_val": "xvalid xvalidation xtest xdev valx xeval",
    "y_val": "yvalid yvalidation ytest ydev valy yeval",
    "X": "x data features train xtrain input inputs",
    "y": "target targets label labels ytrain",
}
# Values of parameters that are no rules: our value, and their names of it.
VALUES = {
    "device": {
        "cuda": "gpu nvidia cudagpu gpu0",
        "cpu": "host processor none",
    },
    "dtype": {
        "float32": "single float f4 fp32 f32 32",
        "float64": "double f8 fp64 f64 64",
    },
    "matmul_precision": {"tf32": "high medium tensorfloat32", "highest": "float32"},
    "normalization": {
        "batch": "batchnorm batchnormalization bn batchnorm1d",
        "layer": "layernorm layernormalization ln",
    },
    "batch_size": {"auto": "default"},
    "class_weight": {"balanced": "balance auto inverse"},
    "scoring": {
        "accuracy": "acc accuracyscore binaryaccuracy categoricalaccuracy",
        "roc_auc": "auc rocauc rocaucscore auroc valauc",
        "average_precision": "ap prauc aucpr averageprecisionscore auprc",
        "neg_log_loss": "logloss crossentropy nll binarylogloss multilogloss",
        "neg_mean_squared_error": "mse meansquarederror l2",
        "neg_root_mean_squared_error": "rmse rootmeansquarederror",
        "neg_mean_absolute_error": "mae meanabsoluteerror l1",
        "neg_mean_absolute_percentage_error": "mape meanabsolutepercentageerror",
        "neg_median_absolute_error": "medianabsoluteerror",
        "neg_brier_score": "brier brierscore brierscoreloss",
        "r2": "r2score rsquared r",
        "f1": "f1score fscore fmeasure",
        "matthews_corrcoef": "mcc matthews",
        "balanced_accuracy": "bacc balancedaccuracyscore",
        "explained_variance": "explainedvariancescore",
        "loss": "valloss validationloss evalloss",
    },
}
_NVIDIA = "The GPU must be one of NVIDIA: 'cuda', or else 'cpu'."
_FLOATING = "Training is in single or double precision: dtype='float32' or 'float64'."
VALUE_ADVICE = {
    "device": {"mps metal rocm hip xpu tpu amd opencl dml directml": _NVIDIA},
    "dtype": {
        "float16 half fp16 f2 bfloat16 bf16 mixed 16 longdouble float128 int int32 "
        "int64 complex complex128": _FLOATING,
        "tf32": "That is a precision of products: dtype='float32', "
        "matmul_precision='tf32'.",
    },
    "n_jobs": {"all auto max": "n_jobs=-1 uses all processors."},
    "early_stopping": {
        "auto": "It has no automatic choice: early_stopping=True or False.",
        "none": "Did you mean early_stopping=False?",
    },
    "batch_size": {
        "none": "batch_size='auto' is min(200, rows); Keras's default is 32.",
        "full all": "Pass the number of rows for batches of all of them.",
    },
    "n_iter_no_change": {
        "none never": "n_iter_no_change=float('inf') never stops before max_iter."
    },
    "max_iter": {
        "none 1 auto": "Training always ends: pass a large number, and tol or "
        "early_stopping end it before."
    },
    "tol": {"none": "n_iter_no_change=float('inf') never stops before max_iter."},
    "normalization": {
        "true": "Did you mean normalization='batch'?",
        "false none": "normalization=None is without.",
        "group instance rms groupnorm instancenorm rmsnorm": "There are 'batch' and "
        "'layer'.",
    },
    "random_state": {
        "generator": "RandomState(generator.bit_generator) of numpy.random makes it of "
        "a Generator; or pass an int."
    },
    "warm_start": {"none": "Did you mean warm_start=False?"},
    "verbose": {"none": "Did you mean verbose=False?"},
}
