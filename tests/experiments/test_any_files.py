"""Small files beside data and networks with anything in them; `python -m tests.fuzz` draws from the same."""

from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz import modules, names, prompts

FEW = settings(max_examples=25, deadline=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))

test_any_prompts = FEW(given(**prompts.PROMPTS)(prompts.any_prompts))
test_any_names = FEW(given(**names.NAMES)(names.any_names))
test_any_module = FEW(given(**modules.MODULES)(modules.any_module))
