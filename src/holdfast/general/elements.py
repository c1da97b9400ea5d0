"""Chemical elements: the symbol and the atomic number of an element, and the element of a symbol."""

from __future__ import annotations

from holdfast.general.making import draw, question, says
from holdfast.probes.items import Item

ELEMENTS = """
hydrogen H, helium He, lithium Li, beryllium Be, boron B, carbon C, nitrogen N, oxygen O, fluorine F, neon Ne,
sodium Na, magnesium Mg, aluminum Al, silicon Si, phosphorus P, sulfur S, chlorine Cl, argon Ar, potassium K,
calcium Ca, scandium Sc, titanium Ti, vanadium V, chromium Cr, manganese Mn, iron Fe, cobalt Co, nickel Ni, copper Cu,
zinc Zn, gallium Ga, germanium Ge, arsenic As, selenium Se, bromine Br, krypton Kr, rubidium Rb, strontium Sr,
yttrium Y, zirconium Zr, niobium Nb, molybdenum Mo, technetium Tc, ruthenium Ru, rhodium Rh, palladium Pd, silver Ag,
cadmium Cd, indium In, tin Sn, antimony Sb, tellurium Te, iodine I, xenon Xe, cesium Cs, barium Ba, lanthanum La,
cerium Ce, praseodymium Pr, neodymium Nd, promethium Pm, samarium Sm, europium Eu, gadolinium Gd, terbium Tb,
dysprosium Dy, holmium Ho, erbium Er, thulium Tm, ytterbium Yb, lutetium Lu, hafnium Hf, tantalum Ta, tungsten W,
rhenium Re, osmium Os, iridium Ir, platinum Pt, gold Au, mercury Hg, thallium Tl, lead Pb, bismuth Bi, polonium Po,
astatine At, radon Rn, francium Fr, radium Ra, actinium Ac, thorium Th, protactinium Pa, uranium U
"""
"""The first 92 elements with their symbols, in the order of their atomic numbers."""

SPELLINGS = {"aluminum": ["aluminium"], "sulfur": ["sulphur"], "cesium": ["caesium"]}


def elements() -> list[tuple[int, str, str]]:
    """Returns number, name and symbol of each element."""
    pairs = [pair.split() for pair in ELEMENTS.replace("\n", " ").strip().split(", ")]
    return [(number, name, symbol) for number, (name, symbol) in enumerate(pairs, 1)]


def items() -> list[Item]:
    """Returns for each element an item about its symbol, and one about its number or its name."""
    entries = []
    for number, name, symbol in elements():
        group = f"element {name}"
        entries.append(
            question(
                "elements",
                f"symbol of {name}",
                group,
                f"What is the chemical symbol for {name}?",
                f"The chemical symbol for {'iron is Fe' if name != 'iron' else 'gold is Au'}.\n"
                f"The chemical symbol for {name} is",
                symbol,
                {"regex": rf"(?<![A-Za-z]){symbol}(?![A-Za-z'’])"},
                max_tokens=16,
            )
        )
        if number <= 36 and draw(f"element {name}", 2):
            other = 26 if name != "iron" else 29
            entries.append(
                question(
                    "elements",
                    f"number of {name}",
                    group,
                    f"What is the atomic number of {name}?",
                    f"The atomic number of {'iron' if other == 26 else 'copper'} is {other}.\n"
                    f"The atomic number of {name} is",
                    str(number),
                    says(number),
                    max_tokens=16,
                )
            )
        else:
            entries.append(
                question(
                    "elements",
                    f"named {symbol}",
                    group,
                    f"Which chemical element has the symbol {symbol}?",
                    f"{'Fe' if name != 'iron' else 'Au'} is the chemical symbol for"
                    f" {'iron' if name != 'iron' else 'gold'}.\n{symbol} is the chemical symbol for",
                    name,
                    {"any": [name, *SPELLINGS.get(name, [])]},
                    max_tokens=16,
                )
            )
    return entries
