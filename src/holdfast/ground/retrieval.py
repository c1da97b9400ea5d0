"""Retrieval in the invented world: domains of questions, documents that answer them, and documents that look alike.

Every fact of a thing has a document, some with a fact of another thing beside it. A question asks for one fact, mostly
in other words than the document. The other candidates name the same thing, or state the same fact of another thing, so
that neither the name nor the words of the question decide alone.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence

from holdfast.core.errors import HoldfastError, nearest
from holdfast.ground.contracts import contracts
from holdfast.ground.world import Thing, World, rng_of
from holdfast.probes.items import split_of
from holdfast.rerank.collection import Collection, Document, Query

FACTS = {"people": ("person",), "towns": ("town",), "events": ("event",), "shop": ("ware",),
            "land": ("job", "animal", "food")}  # fmt: skip
"""The kinds of things of each domain of facts."""
CONTRACTS = "contracts"
GENERAL = (*FACTS,)
"""The domains on which the base is trained."""
DOMAINS = (*GENERAL, CONTRACTS)
"""All domains; contracts are for fine-tuning, and the base has read none."""
DEPTH = 20
"""Number of candidates of a query."""
BOTH = "all"
"""The split with the queries of `watch` and of `proof`: for a command that steers by some and judges by the others."""
SPLITS = ("proof", "watch", "train", "cut", BOTH)
QUERIES = {"train": 1200, "watch": 150, "proof": 300, "cut": 80}
"""Most queries of each split; `cut` holds the first test queries, for a quick look."""
OTHERS = 0.25
"""Share of the documents about one thing that also state a fact of another one."""


def collection(name: str) -> Collection:
    """Returns the collection of `DOMAIN` or `DOMAIN/SPLIT`; a suffix `@SEED` selects another world than that of seed 0.

    The splits are proof (test), watch (validation), all (both of these), train and cut. Train queries are about things
    of another draw of the world, so nothing that is measured is trained on. The name may begin with `rerank/`.

    Raises:
        HoldfastError: There is no such domain or split.
    """
    plain, at, seed = name.removeprefix("rerank/").partition("@")
    domain, _, split = plain.partition("/")
    split = split or SPLITS[0]
    if at and not seed.isdecimal():
        raise HoldfastError(f"'ground:{name}': the seed behind '@' must be a whole number.")
    for given, known, kind in ((domain, DOMAINS, "domain"), (split, SPLITS, "split")):
        if given not in known:
            raise HoldfastError(
                f"'ground:{name}': there is no {kind} '{given}'; use one of {', '.join(known)}.{nearest(given, known)}"
            )
    return _collection(domain, split, int(seed) if at else 0)


@functools.lru_cache(maxsize=64)
def _collection(domain: str, split: str, seed: int) -> Collection:
    if split == BOTH:
        return _together(domain, [_collection(domain, side, seed) for side in ("watch", "proof")])
    side, most = "watch" if split == "watch" else "proof", QUERIES[split]
    first = seed + TRAIN_SEED if split == "train" else seed
    parts, left = list[Collection](), most
    for world in range(first, first + WORLDS):
        whole = draw(domain, world, held=split != "train")
        names = [query for query in whole.queries if split == "train" or split_of(whole.queries[query].group) == side]
        rng_of(world, f"rerank {domain} order").shuffle(names)
        parts.append(whole.only(set(names[:left])))
        left -= len(parts[-1].queries)
        if left <= 0:
            break
    return _together(domain, parts)


def _together(domain: str, parts: Sequence[Collection]) -> Collection:
    """Returns the queries of several worlds, each with the candidates of its own world."""
    candidates = {at: documents for part in parts for at, documents in part.candidates.items()}
    among = {at for documents in candidates.values() for at in documents}
    judgments = {at: grades for part in parts for at, grades in part.judgments.items()}
    return Collection(
        name=domain,
        queries={at: query for part in parts for at, query in part.queries.items()},
        documents={at: document for part in parts for at, document in part.documents.items() if at in among},
        judgments={at: {name: grade for name, grade in of.items() if name in among} for at, of in judgments.items()},
        candidates=candidates,
    )


TRAIN_SEED, WORLDS = 1_000, 40
"""What the seed of the train split's first world is above that of the measured one, and the most worlds of a split: a
world has too few towns, events and wares for the queries of a split."""


def draw(domain: str, seed: int, *, held: bool = False, most: int | None = None) -> Collection:
    """Returns all queries of a domain in the world of a seed, with their candidates.

    Args:
        domain: Name of the domain.
        seed: Seed of the world.
        held: Whether questions have wordings that the base has not read.
        most: Most queries, drawn at random; all if None.
    """
    rng = rng_of(seed, f"rerank {domain}")
    if domain == CONTRACTS:
        return contracts(World(seed), rng, held)
    return _Told(domain, World(seed), rng).asked(rng, held, most)


class _Told:
    """The documents of a domain of facts.

    Attributes:
        documents: The documents by id.
        facts: Every thing with the name of each of its relations.
        stating: By thing and relation, the documents that state the fact.
        naming: By thing, the documents that name it.
        on: By relation, the documents that state a fact of it.
    """

    def __init__(self, domain: str, world: World, rng: random.Random) -> None:
        self.domain, self.seed = domain, world.seed
        self.documents: dict[str, Document] = {}
        self.facts: list[tuple[Thing, str]] = []
        self.stating: dict[tuple[str, str], list[str]] = {}
        self.naming: dict[str, list[str]] = {}
        self.on: dict[str, list[str]] = {}
        things = [thing for kind in FACTS[domain] for thing in world.things[kind]]
        for number, thing in enumerate(things):
            relations = [relation.name for relation in thing.relations()]
            self.facts += [(thing, relation) for relation in relations]
            for part, relation in enumerate(relations):
                self._tell(f"{domain}-{world.seed}-{number}-{part}", [(thing, relation)], things, rng)

    def _tell(self, at: str, said: list[tuple[Thing, str]], things: Sequence[Thing], rng: random.Random) -> None:
        """Writes a document that states facts of a thing, and perhaps one of another thing."""
        if rng.random() < OTHERS:
            other = rng.choice(things)
            said = rng.sample([*said, (other, rng.choice(other.relations()).name)], len(said) + 1)
        said = list({(thing.name, relation): (thing, relation) for thing, relation in said}.values())
        texts = []
        for thing, relation in said:
            known = next(known for known in thing.relations() if known.name == relation)
            texts.append(thing.say(relation, rng.randrange(len(known.says))))
            self.stating.setdefault((thing.name, relation), []).append(at)
            self.on.setdefault(relation, []).append(at)
            for name in dict.fromkeys((thing.name, thing.facts[relation])):
                self.naming.setdefault(name, []).append(at)
        self.documents[at] = Document(at, " ".join(texts))

    def asked(self, rng: random.Random, held: bool, most: int | None = None) -> Collection:
        """Returns questions about the facts, with their candidates."""
        queries, judgments = dict[str, Query](), dict[str, dict[str, int]]()
        candidates = dict[str, tuple[str, ...]]()
        numbered = list(enumerate(self.facts))
        for number, (thing, relation) in numbered if most is None else rng.sample(numbered, min(most, len(numbered))):
            known = next(known for known in thing.relations() if known.name == relation)
            asked = rng.choice(known.held if held else known.asks).format(s=thing.name)
            at, right = f"{self.domain}-{self.seed}-q{number}", self.stating[thing.name, relation]
            queries[at] = Query(at, asked[0].upper() + asked[1:], group=f"{thing.name} {self.seed}")
            judgments[at] = dict.fromkeys(right, 1)
            own = [*right[1:], *self.naming[thing.name]]
            candidates[at] = _candidates(right[0], own, self.on[relation], list(self.documents), rng)
        return Collection(self.domain, queries, self.documents, judgments, candidates)


def _candidates(
    right: str, own: Sequence[str], alike: Sequence[str], every: Sequence[str], rng: random.Random
) -> tuple[str, ...]:
    """Returns the right document among others of the same thing, of the same relation, and of any, in any order."""
    chosen = {right: None} | dict.fromkeys(own[: DEPTH // 2])
    for pool, most in ((alike, DEPTH - 4), (every, DEPTH)):
        for at in rng.sample(pool, min(len(pool), DEPTH)):
            if len(chosen) < most:
                chosen[at] = None
    order = list(chosen)
    rng.shuffle(order)
    return tuple(order)
