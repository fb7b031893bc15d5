"""The models that map ViSQOL's similarities to quality: a lattice network for speech, a regression for audio."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...quiet import quiet_stderr

Array = NDArray[np.float64]


def lattice() -> Any:
    """The lattice model of speech mode. Raises ImportError where its runtime is missing."""
    from visqol.quality_mapper import TFLiteSpeechQualityMapper
    from visqol.visqol_manager import _DEFAULT_LATTICE_MODEL

    mapper = TFLiteSpeechQualityMapper(_DEFAULT_LATTICE_MODEL)
    with quiet_stderr():
        mapper.init()
    return mapper


class SupportVectorRegression:
    """The model of audio mode, loaded by libsvm but evaluated here.

    libsvm sums over the support vectors by several threads in whatever order they end, so that its last digits vary
    from call to call.
    """

    def __init__(self, bands: int) -> None:
        from visqol import api
        from visqol.quality_mapper import SvrSimilarityToQualityMapper

        mapper = SvrSimilarityToQualityMapper(api._DEFAULT_SVR_MODEL)
        mapper.init()
        model: Any = mapper.model
        if model.param.kernel_type != 2:
            raise RuntimeError("visqol-python's model has another kernel than the radial basis function")
        self.vectors = np.array([[vector.get(i + 1, 0.0) for i in range(bands)] for vector in model.get_SV()])
        self.weights = np.array(model.get_sv_coef()).ravel()
        self.gamma, self.rho = float(model.param.gamma), float(model.rho[0])

    def predict_quality(self, means: Array, *_: Array) -> float:
        """MOS-LQO of the mean similarity of each band."""
        kernel = np.exp(-self.gamma * np.sum(np.square(self.vectors - means), axis=1))
        return float(np.clip(np.sum(self.weights * kernel) - self.rho, 1.0, 5.0))
