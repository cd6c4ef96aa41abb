"""Krug & Stober 2025 (arXiv 2506.03664): seven findings about probes and topographic maps of FairFace."""

from bias_jax.published.krug2025.errors import error_findings as error_findings
from bias_jax.published.krug2025.findings import RULES as RULES
from bias_jax.published.krug2025.findings import Tested as Tested
from bias_jax.published.krug2025.findings import krug2025 as krug2025
from bias_jax.published.krug2025.maps import map_findings as map_findings
