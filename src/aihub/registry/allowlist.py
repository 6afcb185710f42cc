"""Every name that a pickle may use: exact pairs of module and name, never a prefix, never a dotted name.

Left out on purpose, though they are scikit-learn's: what calls a function it was given (`FunctionTransformer`), what
reads files or text of any size, and everything that fits when it predicts.
"""

from __future__ import annotations

_SKLEARN = {
    "calibration": "CalibratedClassifierCV _CalibratedClassifier _SigmoidCalibration",
    "cluster._dbscan": "DBSCAN",
    "cluster._kmeans": "KMeans MiniBatchKMeans",
    "compose._column_transformer": "ColumnTransformer _RemainderColsList make_column_selector",
    "compose._target": "TransformedTargetRegressor",
    "covariance._elliptic_envelope": "EllipticEnvelope",
    "covariance._robust_covariance": "MinCovDet",
    "cross_decomposition._pls": "PLSRegression",
    "decomposition._incremental_pca": "IncrementalPCA",
    "decomposition._pca": "PCA",
    "decomposition._truncated_svd": "TruncatedSVD",
    "discriminant_analysis": "LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis",
    "dummy": "DummyClassifier DummyRegressor",
    "ensemble._bagging": "BaggingClassifier BaggingRegressor",
    "ensemble._forest": "ExtraTreesClassifier ExtraTreesRegressor RandomForestClassifier RandomForestRegressor",
    "ensemble._gb": "GradientBoostingClassifier GradientBoostingRegressor",
    "ensemble._hist_gradient_boosting.binning": "_BinMapper",
    "ensemble._hist_gradient_boosting.gradient_boosting": "HistGradientBoostingClassifier HistGradientBoostingRegressor",
    "ensemble._hist_gradient_boosting.predictor": "TreePredictor",
    "ensemble._iforest": "IsolationForest",
    "ensemble._stacking": "StackingClassifier StackingRegressor",
    "ensemble._voting": "VotingClassifier VotingRegressor",
    "ensemble._weight_boosting": "AdaBoostClassifier AdaBoostRegressor",
    "feature_selection._univariate_selection": "SelectKBest SelectPercentile f_classif f_regression",
    "feature_selection._variance_threshold": "VarianceThreshold",
    "gaussian_process._gpr": "GaussianProcessRegressor",
    "gaussian_process.kernels": "ConstantKernel Product Sum RBF WhiteKernel Matern RationalQuadratic ExpSineSquared",
    "impute._base": "MissingIndicator SimpleImputer",
    "impute._knn": "KNNImputer",
    "isotonic": "IsotonicRegression",
    "kernel_approximation": "Nystroem RBFSampler",
    "kernel_ridge": "KernelRidge",
    "linear_model._base": "LinearRegression",
    "linear_model._bayes": "ARDRegression BayesianRidge",
    "linear_model._coordinate_descent": "ElasticNet ElasticNetCV Lasso LassoCV",
    "linear_model._glm.glm": "GammaRegressor PoissonRegressor TweedieRegressor _GeneralizedLinearRegressor",
    "linear_model._huber": "HuberRegressor",
    "linear_model._least_angle": "Lars LarsCV LassoLars LassoLarsCV LassoLarsIC",
    "linear_model._logistic": "LogisticRegression LogisticRegressionCV",
    "linear_model._omp": "OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV",
    "linear_model._passive_aggressive": "PassiveAggressiveClassifier PassiveAggressiveRegressor",
    "linear_model._perceptron": "Perceptron",
    "linear_model._quantile": "QuantileRegressor",
    "linear_model._ransac": "RANSACRegressor",
    "linear_model._ridge": "Ridge RidgeCV RidgeClassifier RidgeClassifierCV",
    "linear_model._sgd_fast": "Hinge Log SquaredLoss Huber EpsilonInsensitive SquaredEpsilonInsensitive SquaredHinge"
    " ModifiedHuber",
    "linear_model._stochastic_gradient": "SGDClassifier SGDRegressor SGDOneClassSVM",
    "linear_model._theil_sen": "TheilSenRegressor",
    "metrics._dist_metrics": "EuclideanDistance64 ManhattanDistance64 MinkowskiDistance64 newObj",
    "multioutput": "MultiOutputClassifier MultiOutputRegressor",
    "naive_bayes": "BernoulliNB GaussianNB",
    "neighbors._ball_tree": "BallTree newObj",
    "neighbors._classification": "KNeighborsClassifier RadiusNeighborsClassifier",
    "neighbors._kd_tree": "KDTree newObj",
    "neighbors._lof": "LocalOutlierFactor",
    "neighbors._nearest_centroid": "NearestCentroid",
    "neighbors._regression": "KNeighborsRegressor RadiusNeighborsRegressor",
    "neural_network._multilayer_perceptron": "MLPClassifier MLPRegressor",
    "neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer",
    "pipeline": "FeatureUnion Pipeline",
    "preprocessing._data": "Binarizer MaxAbsScaler MinMaxScaler Normalizer PowerTransformer QuantileTransformer"
    " RobustScaler StandardScaler",
    "preprocessing._discretization": "KBinsDiscretizer",
    "preprocessing._encoders": "OneHotEncoder OrdinalEncoder",
    "preprocessing._label": "LabelBinarizer LabelEncoder",
    "preprocessing._polynomial": "PolynomialFeatures SplineTransformer",
    "preprocessing._target_encoder": "TargetEncoder",
    "svm._classes": "LinearSVC LinearSVR NuSVC NuSVR OneClassSVM SVC SVR",
    "tree._classes": "DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor",
    "tree._tree": "Tree",
    "utils._bunch": "Bunch",
    "_loss._loss": "CyHalfSquaredError CyAbsoluteError CyPinballLoss CyHuberLoss CyHalfPoissonLoss CyHalfGammaLoss"
    " CyHalfTweedieLoss CyHalfTweedieLossIdentity CyHalfBinomialLoss CyHalfMultinomialLoss CyExponentialLoss",
    "_loss.link": "IdentityLink LogLink LogitLink HalfLogitLink MultinomialLogit Interval",
    "_loss.loss": "HalfSquaredError AbsoluteError PinballLoss HuberLoss HalfPoissonLoss HalfGammaLoss HalfTweedieLoss"
    " HalfTweedieLossIdentity HalfBinomialLoss HalfMultinomialLoss ExponentialLoss",
}
_RANDOM = {
    "numpy.random._mt19937": "MT19937",
    "numpy.random._pcg64": "PCG64",
    "numpy.random._pickle": "__bit_generator_ctor __generator_ctor __randomstate_ctor",
    "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence",
    "scipy.interpolate._bsplines": "BSpline",
}
_BOOSTERS = {
    "lightgbm.basic": "Booster",
    "lightgbm.sklearn": "LGBMClassifier LGBMRanker LGBMRegressor",
    "xgboost.core": "Booster",
    "xgboost.sklearn": "XGBClassifier XGBRFClassifier XGBRFRegressor XGBRanker XGBRegressor",
}
_PLAIN = {
    "builtins": "bytearray bytes complex frozenset object set slice",
    "_codecs": "encode",
    "collections": "OrderedDict defaultdict",
    "copy_reg": "_reconstructor",
    "copyreg": "_reconstructor",
    "__builtin__": "bytearray bytes complex frozenset object set slice",
    "numpy": "dtype float32 float64 int32 int64 ndarray",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy._core.numeric": "_frombuffer",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
    "joblib.numpy_pickle": "NumpyArrayWrapper",
}


def _pairs(modules: dict[str, str], prefix: str = "") -> frozenset[tuple[str, str]]:
    return frozenset((prefix + module, name) for module, names in modules.items() for name in names.split())


PLAIN = _pairs(_PLAIN)
"""Containers and arrays: made for real in every pass."""
BOOSTERS = _pairs(_BOOSTERS)
"""Never made while a file is examined: only their state is looked at."""
SKLEARN = _pairs(_SKLEARN, "sklearn.") | _pairs(_RANDOM)
"""Made for real only after the whole file was examined."""
ALLOWED = PLAIN | BOOSTERS | SKLEARN
