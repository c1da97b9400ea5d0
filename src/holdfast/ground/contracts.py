"""Contracts of the invented world: the domain for fine-tuning rerankers, in words that the base has not read.

Two people agree on the delivery of goods. Each clause of a contract is a document, and a question asks which clause of
one contract rules a matter. All clauses name the same people and goods, so only the matter tells them apart.
"""

from __future__ import annotations

import dataclasses
import random

from holdfast.ground import words
from holdfast.ground.wording import lines
from holdfast.ground.world import World
from holdfast.rerank.collection import Collection, Document, Query

CONTRACTS = 75
"""Number of contracts in a world."""


@dataclasses.dataclass(frozen=True)
class Clause:
    """A matter that a contract rules.

    Attributes:
        says: Wordings of the clause.
        asks: Questions after it.
        held: Questions after it that training does not show.
    """

    says: tuple[str, ...]
    asks: tuple[str, ...]
    held: tuple[str, ...]


def _clause(says: str, asks: str, held: str) -> Clause:
    return Clause(lines(says), lines(asks), lines(held))


CLAUSES = (
    _clause(
        """
        The seller {s} shall hand over {n} {g} to the buyer {b}.
        Subject of this agreement is the sale of {n} {g} by {s} to {b}.
        {b} orders, and {s} undertakes to supply, {n} {g}.
        """,
        """
        How many goods are owed?
        What is the quantity of the sale?
        """,
        """
        Which amount of goods has been agreed?
        """,
    ),
    _clause(
        """
        The consideration for the {g} amounts to {m} coins.
        {b} shall remit to {s} the sum of {m} coins for the {g}.
        The parties fix the remuneration of {s} at {m} coins.
        """,
        """
        What is the purchase price?
        How much must the buyer pay?
        """,
        """
        What do the goods cost?
        """,
    ),
    _clause(
        """
        {b} shall settle the invoice of {s} within {d} days of its receipt.
        Sums due to {s} fall due {d} days upon presentation of the bill.
        Payment by {b} is owed no later than {d} days past invoicing.
        """,
        """
        When is the price due?
        How long has the buyer to pay?
        """,
        """
        Until when must be paid?
        """,
    ),
    _clause(
        """
        The {g} shall be tendered at {t}.
        Place of performance is {t}; {s} bears carriage thereto.
        {s} consigns the {g} to the warehouse at {t}.
        """,
        """
        Where are the goods delivered?
        What is the place of delivery?
        """,
        """
        To which town do the goods go?
        """,
    ),
    _clause(
        """
        {s} shall dispatch the {g} by the first day of {e}.
        Shipment of the {g} takes place not later than {e}.
        Performance by {s} is scheduled for {e}.
        """,
        """
        When are the goods delivered?
        What is the date of delivery?
        """,
        """
        By which season must the goods arrive?
        """,
    ),
    _clause(
        """
        This agreement expires {y} years from the date hereof.
        The covenant of {s} and {b} remains in force for {y} years.
        The initial period hereof comprises {y} years.
        """,
        """
        How long does the contract last?
        What is the term of the contract?
        """,
        """
        When does the contract end by itself?
        """,
    ),
    _clause(
        """
        Absent notice, the agreement is extended by {y} further years.
        It is prolonged by successive periods of {y} years unless {b} objects.
        Upon expiry the parties may extend the same for {y} years.
        """,
        """
        How is the contract renewed?
        What happens at the end of the term?
        """,
        """
        For how long does it go on after the term?
        """,
    ),
    _clause(
        """
        Either party may rescind upon {d} days notice in writing.
        {s} or {b} may terminate for cause, giving {d} days notice.
        {b} is entitled to withdraw within {d} days.
        """,
        """
        How can a party end the contract?
        What is the period of notice?
        """,
        """
        How can one get out of the contract early?
        """,
    ),
    _clause(
        """
        {s} warrants the {g} to be free from defects for {y} years.
        For {y} years {s} shall mend or replace faulty {g} without charge.
        {s} guarantees the fitness of the {g} over {y} years.
        """,
        """
        How long is the warranty?
        Who repairs broken goods?
        """,
        """
        What if the goods are faulty?
        """,
    ),
    _clause(
        """
        The aggregate liability of {s} is capped at {m} coins.
        In no event shall {s} answer for damages exceeding {m} coins.
        {s} is not liable beyond {m} coins, howsoever arising.
        """,
        """
        What is the limit of liability?
        For how much damage does the seller answer?
        """,
        """
        How much can be claimed for harm at most?
        """,
    ),
    _clause(
        """
        For each day of delay {s} forfeits {n} coins.
        Should {s} be in default, liquidated damages of {n} coins daily accrue.
        {b} may deduct {n} coins per day that the {g} are overdue.
        """,
        """
        What is the penalty for late goods?
        What if the seller is late?
        """,
        """
        What does a delay cost the seller?
        """,
    ),
    _clause(
        """
        {s} and {b} shall keep the terms hereof secret for {y} years.
        No party shall disclose trade secrets to third persons.
        The contents hereof are confidential and may not be divulged by {b}.
        """,
        """
        What must be kept secret?
        May the parties talk about the contract?
        """,
        """
        What must not be told to others?
        """,
    ),
    _clause(
        """
        Rights hereunder may not be assigned without consent of {s}.
        {b} shall not transfer this agreement to a third person.
        Any assignment by {b} is void save with approval of {s}.
        """,
        """
        Can the contract be passed on?
        Who may take the place of the buyer?
        """,
        """
        May the buyer give the contract to somebody else?
        """,
    ),
    _clause(
        """
        Disputes shall be heard exclusively by the bench of {t}.
        {s} and {b} submit to the jurisdiction of {t}.
        This agreement is governed by the statutes of {t}.
        """,
        """
        Which court decides?
        Whose law holds for the contract?
        """,
        """
        Where is a quarrel settled?
        """,
    ),
    _clause(
        """
        Title to the {g} passes to {b} upon full settlement.
        Until discharge of all claims the {g} remain property of {s}.
        {s} retains ownership pending receipt of the whole sum.
        """,
        """
        When do the goods belong to the buyer?
        Who owns the goods?
        """,
        """
        Whose are the goods before all is paid?
        """,
    ),
    _clause(
        """
        {b} shall examine the {g} within {d} days and report defects.
        Objections to the {g} are barred after {d} days.
        Failing complaint by {b} in {d} days, the {g} are deemed accepted.
        """,
        """
        When must the goods be checked?
        How long can the buyer complain?
        """,
        """
        Until when can one say that the goods are bad?
        """,
    ),
)
"""The matters of every contract."""


def contracts(world: World, rng: random.Random, held: bool) -> Collection:
    """Returns the questions about the contracts of a world; every question ranks the clauses of its contract.

    Args:
        world: The world, whose people and towns the contracts name.
        rng: Draws the contracts and the wordings.
        held: Whether questions have the wordings that training does not show.
    """
    documents, queries = dict[str, Document](), dict[str, Query]()
    judgments, candidates = dict[str, dict[str, int]](), dict[str, tuple[str, ...]]()
    for number in range(CONTRACTS):
        seller, buyer = (person.name for person in rng.sample(world.people, 2))
        goods, group = rng.choice(words.PRODUCTS), f"contract-{world.seed}-{number}"
        ids = []
        for place, clause in enumerate(CLAUSES):
            at = f"{group}-{place}"
            documents[at] = Document(at, _say(clause, seller, buyer, goods, world, rng), group=group)
            asked = rng.choice(clause.held if held else clause.asks)
            query = f"{group}-q{place}"
            queries[query] = Query(query, f"{seller} and {buyer}, {goods}: {asked}", group)
            judgments[query] = {at: 1}
            ids.append(at)
        for place in range(len(CLAUSES)):
            candidates[f"{group}-q{place}"] = tuple(rng.sample(ids, len(ids)))
    return Collection("contracts", queries, documents, judgments, candidates)


def _say(clause: Clause, seller: str, buyer: str, goods: str, world: World, rng: random.Random) -> str:
    """Returns a clause of a contract."""
    drawn = {
        "n": rng.randrange(2, 90),
        "m": rng.randrange(100, 990),
        "d": rng.choice((7, 10, 14, 20, 30, 60)),
        "y": rng.randrange(2, 9),
        "t": rng.choice(world.towns),
        "e": rng.choice(words.SEASONS),
    }
    said = rng.choice(clause.says).format(s=seller, b=buyer, g=goods, **drawn)
    return said[0].upper() + said[1:]
