"""The options of `verify`. This module imports the standard library only, so that the command line starts fast."""

from __future__ import annotations

import dataclasses

from holdfast.bench.given.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifySpec(Options):
    """The options of a verification: a model with its certificate, and how far to check it.

    Raises:
        HoldfastError: A value has the wrong type or is out of range; names the option and the accepted values.
    """

    model: str = option("folder of a model with its proof.json", metavar="MODEL")
    quick: bool = option("compare the digests of the files and of the record alone, and ask nothing", False)
    base: str | None = option(
        "model before training, if it lies elsewhere than the certificate says", None, metavar="MODEL"
    )
    eval_batch_tokens: int | None = option(
        "most tokens of a batch during measurement, padding included", None, metavar="TOKENS", low=1
    )
