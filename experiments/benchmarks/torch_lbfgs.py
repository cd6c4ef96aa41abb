"""L-BFGS for many softmax probes at once, in PyTorch: the peer of this package's solver where there is a GPU.

Probes share the features and nothing else: each has its own history, its own length of step and its own end, as if it
were minimised alone; `torch.optim.LBFGS` on the sum would couple them. What is shared is the work: the coefficients of
all probes are the rows of one matrix, so that a step is two matrix products whatever the number of probes and classes.
Logits are linear in the coefficients, hence backtracking costs no further product. Probes that have reached their value
leave the batch.
"""

import time
from typing import Any, NamedTuple

import torch

from experiments.benchmarks.torch_history import History, sum_by_probe
from experiments.benchmarks.torch_losses import Batch

REMEMBERED = 10  # changes in the history
ARMIJO = 1e-4  # share of the decrease that the slope promises
TRIALS = 20  # lengths that are tried before a probe is given up: then rounding decides


class Minimum(NamedTuple):
    """Where P probes ended."""

    coefficients: Any  # float32 [R, D + 1], the classes of all probes, probe by probe; the bias is the last column
    objective: Any  # float64 [P]
    reached: Any  # the value wanted, bool [P]
    steps: Any  # int64 [P]


def minimise(
    batch: Batch, features: Any, start: Any, l2: float, wanted: Any, seconds: float, longest: int = 10_000
) -> Minimum:
    """Mean cross-entropy plus ``l2/2 sum(W^2)`` of every probe, until it is at most `wanted`.

    Args:
        batch: the probes.
        features: float32 [N, D + 1], the last column ones: the bias is not penalised.
        start: coefficients to begin with, [R, D + 1].
        l2: strength.
        wanted: value at which each probe ends, float64 [P].
        seconds: after these all end as they are.
        longest: number of steps after which all end as they are.
    """
    begin, owners = time.perf_counter(), batch.owner
    place, stuck = torch.arange(len(wanted), device=start.device), torch.zeros_like(wanted, dtype=torch.bool)
    x, logits = start.clone(), start @ features.T
    penalty = 0.5 * l2 * _products(x, x, batch, bias=False)
    value = batch.loss(logits) + penalty
    found = Minimum(x.clone(), value.clone(), stuck.clone(), torch.zeros_like(place))
    history = History(x, len(place), REMEMBERED)
    move: Any = None
    before: Any = None
    for step in range(longest + 1):
        reached = value <= wanted[place]
        out_of_time = step == longest or time.perf_counter() - begin > seconds
        ended = torch.ones_like(reached) if out_of_time else reached | stuck
        if ended.any():
            found.coefficients[torch.isin(owners, place[ended])] = x[ended[batch.owner]]
            found.objective[place[ended]], found.reached[place[ended]] = value[ended], reached[ended]
            found.steps[place[ended]] = step
            if ended.all():
                break
            kept, rows = ~ended, ~ended[batch.owner]
            x, logits, value, penalty, place = x[rows], logits[rows], value[kept], penalty[kept], place[kept]
            move, before = (None, None) if before is None else (move[rows], before[rows])
            history.only(rows, kept)
            batch = batch.only(kept)
        gradient = batch.residual(logits) @ features
        gradient[:, :-1] += l2 * x[:, :-1]
        if before is None:
            # A step of length 1 at most.
            direction = -gradient * _products(gradient, gradient, batch).rsqrt().clamp(max=1).float()[batch.owner, None]
        else:
            direction = -history.add(move, gradient - before, gradient, batch.owner)
        slope, along = _products(gradient, direction, batch), direction @ features.T
        bend = l2 * _products(x, direction, batch, False), 0.5 * l2 * _products(direction, direction, batch, False)
        length, value, penalty, stuck = _backtrack(batch, logits, along, value, slope, (penalty, *bend))
        factor = length.float()[batch.owner, None]
        move, before = direction.mul_(factor), gradient
        x, logits = x + move, logits.addcmul_(factor, along)
    return found


def _products(a: Any, b: Any, batch: Batch, bias: bool = True) -> Any:
    """Inner products of every probe, float64 [P], of rows [R, D + 1]."""
    end = None if bias else -1
    return sum_by_probe(torch.linalg.vecdot(a[:, :end], b[:, :end]), batch.owner, batch.size)


def _backtrack(
    batch: Batch, logits: Any, along: Any, value: Any, slope: Any, penalty: tuple[Any, Any, Any]
) -> tuple[Any, Any, Any, Any]:
    """The length of every probe's step by Armijo's rule, value and penalty there, and whether there is none, all [P].

    Args:
        batch: the probes.
        logits: where they are, [R, N].
        along: change of the logits for a step of length 1, [R, N].
        value: where they are, [P].
        slope: derivative of the value by the length, [P].
        penalty: its value, slope and half its curvature, each [P].
    """
    length, new, open_ = torch.ones_like(value), value.clone(), torch.ones_like(value, dtype=torch.bool)
    paid = penalty[0].clone()
    for _ in range(TRIALS):
        whole = bool(open_.all())
        rows, part = (slice(None), batch) if whole else (open_[batch.owner], batch.only(open_))
        t, here, falling = length[open_], value[open_], slope[open_]
        constant, linear, square = (p[open_] for p in penalty)
        cost = constant + t * (linear + t * square)
        tried = part.loss(logits[rows].addcmul(t.float()[part.owner, None], along[rows])) + cost
        failed = ~(tried <= here + ARMIJO * t * falling)
        shorter = torch.clamp(-0.5 * t * t * falling / (tried - here - t * falling), 0.1 * t, 0.5 * t)
        new[open_], paid[open_] = torch.where(failed, here, tried), torch.where(failed, constant, cost)
        length[open_] = torch.where(failed, shorter, t)
        open_[open_.clone()] = failed
        if not open_.any():
            break
    return torch.where(open_, 0.0, length), new, paid, open_
