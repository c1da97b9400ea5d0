"""The scaling sheet: what a plan would be from 0.1B to 1T parameters, by formulas for memory and time.

Memory and time follow from the shape of a decoder. The advice beyond the sizes of our studies is an extrapolation, and
the sheet says so of each column.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from holdfast.bench.plan.advice import advise
from holdfast.bench.plan.record import PlanRecord
from holdfast.bench.plan.rules.training import usual_batch
from holdfast.bench.plan.situation import Situation
from holdfast.train.rates import BILLION, MILLION, STUDIED

TOKENS, ROWS, LENGTH, MICRO_BATCH = 1_000_000, 5_000, 512, 8
"""Learned tokens and rows of the sheet without a plan, tokens of a row, and rows of a forward."""
WIDE, NARROW, ADAM = 4, 2, 8
"""Bytes of a trained weight or gradient, of a frozen weight, and of the optimizer's state of a trained weight."""
PEAK, USED = 989e12, 0.4
"""Products and sums a second that an H100 does in bf16 (its data sheet), and the share of them that a training uses.
The share is an assumption; well-tuned trainings report 0.35 to 0.5."""
READ_UP_TO = 10**11
"""Parameters up to which people publish rates that they used."""
GPU = 80_000_000_000
"""Bytes of such a GPU."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """The shape of a decoder with a gated MLP.

    Attributes:
        name: Its size as people say it.
        layers: Number of layers.
        width: Width of the hidden states.
        inner: Width of the MLP, of one expert in a mixture.
        queries: Total width of the queries.
        keys: Total width of the keys, and of the values.
        vocabulary: Number of tokens.
        tied: Whether the head shares the embeddings.
        experts: Number of experts of a layer; 1 without a mixture.
        active: Number of experts that a token uses.
    """

    name: str
    layers: int
    width: int
    inner: int
    queries: int
    keys: int
    vocabulary: int
    tied: bool = False
    experts: int = 1
    active: int = 1

    @property
    def _attention(self) -> int:
        return self.width * (2 * self.queries + 2 * self.keys)

    @property
    def _expert(self) -> int:
        return 3 * self.width * self.inner

    @property
    def linear(self) -> int:
        """Returns the number of weights of the linear layers, without head and router."""
        return self.layers * (self._attention + self.experts * self._expert)

    @property
    def parameters(self) -> int:
        """Returns the number of parameters: embeddings, head, attention, MLPs and norms."""
        norms = self.width * (2 * self.layers + 1)
        router = self.layers * self.width * self.experts if self.experts > 1 else 0
        return self.vocabulary * self.width * (1 if self.tied else 2) + self.linear + norms + router

    @property
    def used(self) -> int:
        """Returns the number of weights that multiply each token."""
        per_layer = self._attention + self.active * self._expert
        return self.layers * per_layer + self.vocabulary * self.width

    def adapter(self, rank: int) -> int:
        """Returns the number of weights of a LoRA on all linear layers, on the attention alone in a mixture."""
        attention = 2 * self.width + 2 * self.queries + 2 * self.keys + 2 * self.width
        mlp = 3 * (self.width + self.inner) if self.experts == 1 else 0
        return rank * self.layers * (attention + mlp)

    def saved(self, tokens: int, *, wide: bool = False) -> int:
        """Returns the bytes that a forward of some tokens keeps for the backward, without the logits.

        Args:
            tokens: Number of tokens.
            wide: Whether it computes in float32, else in bf16 with float32 between layers.
        """
        inner = self.inner * self.active
        per_token = self.layers * (7 * self.width + 5 * self.queries + 2 * self.keys + 4 * inner)
        return int((4.0 if wide else 2.5) * tokens * per_token)


SHAPES = (
    Shape("0.1B", 12, 768, 2048, 768, 768, 32_000, tied=True),
    Shape("1B", 16, 2048, 8192, 2048, 512, 128_256, tied=True),
    Shape("8B", 32, 4096, 14_336, 4096, 1024, 128_256),
    Shape("70B", 80, 8192, 28_672, 8192, 1024, 128_256),
    Shape("1T", 61, 7168, 2048, 8192, 8192, 163_840, experts=384, active=9),
)
"""Shapes as in Llama (0.1B to 70B) and a mixture as in DeepSeek V3 and Kimi K2 (1T; its compressed attention counts as
plain, so that its attention is an upper bound)."""


@dataclasses.dataclass(frozen=True)
class Size:
    """The plan for one size.

    Attributes:
        name: The size.
        parameters: Number of parameters.
        kind: Kind of the recipe on one GPU of 80 GB, or on several where even an adapter does not fit.
        rate: Learning rate.
        batch: Rows of a step.
        rank: Rank of an adapter; None if all weights train.
        full: Bytes that training of all weights needs, with a copy of the base for the penalty.
        adapter: Bytes that an adapter needs.
        gpus: GPUs of 80 GB that the chosen kind needs at least, if its bytes divide evenly.
        hours: Hours on these GPUs.
        evidence: What the advice rests on.
    """

    name: str
    parameters: int
    kind: str
    rate: float
    batch: int
    rank: int | None
    full: int
    adapter: int
    gpus: int
    hours: float
    evidence: str


@dataclasses.dataclass(frozen=True)
class Sheet:
    """The scaling sheet.

    Attributes:
        tokens: Learned tokens of an epoch.
        sizes: The plan for each size.
        notes: What is evidence and what is extrapolation.
    """

    tokens: int
    sizes: tuple[Size, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the sheet as plain JSON values."""
        return dataclasses.asdict(self)


def full_bytes(shape: Shape, tokens: int, *, copies: int = 1, plain: bool = False, accumulates: bool = False) -> int:
    """Returns the bytes of training all weights: float32 weights, Adam, copies, and gradients or what a forward keeps.

        B = (4 + 8 + 4 c) N + max(4 N, A + L),    with several forwards a step    (4 + 8 + 4 c) N + 4 N + A + L

    with N parameters, c copies of the base, A bytes of saved activations with 16-bit weights, and L of logits.

    Args:
        shape: The shape.
        tokens: Tokens of a forward.
        copies: Copies of the base.
        plain: Whether it is plain training in float32, whose logits exist at once.
        accumulates: Whether a step has several forwards, between which gradients stay.
    """
    fixed = (WIDE + ADAM + WIDE * copies) * shape.parameters
    if plain:
        kept = shape.saved(tokens, wide=True) + 12 * tokens * shape.vocabulary
    else:
        kept = (
            shape.saved(tokens) + NARROW * shape.linear + _logits(shape, tokens) + WIDE * shape.vocabulary * shape.width
        )
    gradients = WIDE * shape.parameters
    return fixed + (gradients + kept if accumulates else max(gradients, kept))


def adapter_bytes(shape: Shape, tokens: int, rank: int = 16) -> int:
    """Returns the bytes of training an adapter: frozen 16-bit weights (embeddings and norms in float32), its own state.

    B = 2 N_linear + 4 (N - N_linear) + (4 + 4 + 8) N_adapter + A + L
    """
    frozen = NARROW * shape.linear + WIDE * (shape.parameters - shape.linear)
    return frozen + (2 * WIDE + ADAM) * shape.adapter(rank) + shape.saved(tokens) + _logits(shape, tokens)


def _logits(shape: Shape, tokens: int) -> int:
    """Returns the bytes of the logits of a block of tokens and of the base's, of 16 bits, as the chunked loss has."""
    return min(tokens, 4096) * shape.vocabulary * NARROW * 2


def products(shape: Shape, tokens: int, *, adapts: bool) -> float:
    """Returns the products and sums of one pass over new tokens with as many old ones, compared with the base.

        F = 2 P t (1 forward + 2 backward) * 2 + 2 P t

    for t tokens and P weights that multiply each; frozen weights need no gradient, which saves one third of an
    adapter's backward and forward together. The last term is the base's forward on the old tokens.
    """
    passes = 2.0 if adapts else 3.0
    return 2.0 * shape.used * tokens * (2 * passes + 1)


def sheet(record: PlanRecord | None = None) -> Sheet:
    """Returns the sheet, for the data of a plan or for a million learned tokens."""
    tokens = TOKENS if record is None else record.data.learned_tokens
    rows = ROWS if record is None else record.data.train_rows
    read = 2 * TOKENS if record is None else record.data.tokens
    sizes = tuple(_size(shape, tokens, rows, read) for shape in SHAPES)
    return Sheet(tokens, sizes, _notes(tokens, read))


def _size(shape: Shape, tokens: int, rows: int, read: int) -> Size:
    forward = MICRO_BATCH * LENGTH
    full = full_bytes(shape, forward, accumulates=usual_batch(rows) > MICRO_BATCH)
    adapter = adapter_bytes(shape, forward)
    size = shape.parameters
    case = Situation(
        parameters=size,
        rows=rows,
        tokens=tokens,
        needed={"full": full, "adapter": adapter},
        per_rank=shape.adapter(1),
        gpu=True,
    )
    advice = advise(case)
    kind = "adapter" if advice.kind == "qlora" else advice.kind
    need = full if kind == "full" else adapter
    gpus = max(1, -(-need * 10 // (GPU * 9)))
    epochs = float(advice.values["epochs"])
    work = epochs * products(shape, read, adapts=kind != "full")
    return Size(
        shape.name,
        size,
        kind,
        float(advice.values["rate"]),
        int(advice.values["batch"]),
        int(advice.values["rank"]) if "rank" in advice.values else None,
        full,
        adapter,
        gpus,
        work / (PEAK * USED * gpus) / 3600,
        _evidence(size),
    )


def _evidence(parameters: int) -> str:
    """Returns what the advice for a size rests on."""
    if parameters < 10 * MILLION:
        return "measured here"
    if parameters < BILLION:
        return "interpolated"
    if parameters <= 14 * BILLION:
        return "published, folk"
    return "folk" if parameters <= READ_UP_TO else "extrapolated"


def _notes(tokens: int, read: int) -> tuple[str, ...]:
    return (
        f"{tokens:,} learned tokens ({read:,} read) an epoch, as many old ones, a penalty to the base on them; rows of"
        f" {LENGTH} tokens, {MICRO_BATCH} in a forward; the time of all epochs on as many GPUs of 80 GB as it needs.",
        f"Evidence: the recipe is measured on models of {STUDIED / MILLION:.1f}M parameters; rates of 1B to 13B are"
        " what people read; that an adapter takes ten times the rate is published up to 14 models (LoRA Without"
        " Regret, 2025).",
        "Extrapolation: all rates, batches and recipes beyond 13B; everything in the row of 1T, where nobody has"
        " published what fine-tuning forgets.",
        "Memory is a formula, within 10% of what PyTorch allocated for two small models and within 20% of the estimate"
        " of a dry run up to 1B (docs/plan.md).",
        f"Time is a formula: products of a pass over {PEAK / 1e12:.0f} TFLOP/s at {USED:.0%} of the peak, which is an"
        " assumption. It was checked on no GPU.",
    )
