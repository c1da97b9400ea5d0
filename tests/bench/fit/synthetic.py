"""The problems with a known optimum, which a script of the benchmarks defines."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

PATH = Path(__file__).parents[3] / "benchmarks" / "search_synthetic.py"
_about = importlib.util.spec_from_file_location("search_synthetic", PATH)
_module = importlib.util.module_from_spec(_about)
sys.modules["search_synthetic"] = _module  # dataclasses look there
_about.loader.exec_module(_module)

GIVEN, Synthetic, at_random, row = (getattr(_module, name) for name in ("GIVEN", "Synthetic", "at_random", "row"))
