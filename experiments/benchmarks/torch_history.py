"""The memory of L-BFGS for many probes at once, in PyTorch.

The two-loop recursion only forms sums of the remembered changes and of the gradient. It is run in the factors of those
sums, which takes two passes over the memory instead of one per inner product and sum (Chen et al. 2014, "Large-scale
L-BFGS using MapReduce").
"""

from typing import Any

import torch


def sum_by_probe(values: Any, owner: Any, count: int) -> Any:
    """Sums over the rows of every probe, float64 [P, ...], of values [R, ...]."""
    found = torch.zeros(count, *values.shape[1:], dtype=torch.float64, device=values.device)
    return found.index_add_(0, owner, values.double())


class History:
    """The last changes of coefficients and of gradients of P probes, whose rows are stacked.

    Args:
        like: coefficients, [R, D].
        count: P.
        length: how many changes are remembered.
    """

    def __init__(self, like: Any, count: int, length: int):
        self.length, self.held = length, 0
        self.changes = like.new_zeros(len(like), 2 * length, like.shape[1])  # of coefficients, then of gradients
        self.products = torch.zeros(count, 2 * length, 2 * length, dtype=torch.float64, device=like.device)

    def only(self, rows: Any, probes: Any) -> None:
        """Keep the rows of a mask [R] and the probes of a mask [P]."""
        self.changes, self.products = self.changes[rows], self.products[probes]

    def add(self, moved: Any, turned: Any, gradient: Any, owner: Any) -> Any:
        """Remember a change of coefficients and of the gradient, [R, D]; returns minus the next direction, [R, D]."""
        length, slot = self.length, self.held % self.length
        self.held += 1
        self.changes[:, slot], self.changes[:, length + slot] = moved, turned
        products = torch.bmm(self.changes, torch.stack((moved, turned, gradient), 2))
        products = sum_by_probe(products, owner, len(self.products))  # [P, 2 * length, 3]
        for column, place in enumerate((slot, length + slot)):
            self.products[:, place], self.products[:, :, place] = products[:, :, column], products[:, :, column]
        factors, own = self._two_loops(products[:, :, 2], slot)
        found = torch.bmm(factors.to(moved.dtype)[owner][:, None], self.changes)[:, 0]
        return found.addcmul_(own.to(moved.dtype)[owner][:, None], gradient)

    def _two_loops(self, gradients: Any, newest: int) -> tuple[Any, Any]:
        """Factors of the changes, [P, 2 * length], and of the gradient, [P].

        Args:
            gradients: products of the gradient with the changes, [P, 2 * length].
            newest: place of the last change.
        """
        length, known = self.length, min(self.held, self.length)
        order = [(newest - age) % length for age in range(known)]
        step, turn = self.products.diagonal(length, 1, 2), self.products.diagonal(0, 1, 2)[:, length:]
        # Where rounding has eaten the curvature, a change says nothing.
        valid = step > 1e-12 * turn
        inverse = torch.where(valid, 1.0 / step, 0.0)
        own = torch.where(valid[:, newest], step[:, newest] / turn[:, newest], 1.0)
        factors, first = torch.zeros_like(gradients), torch.zeros_like(inverse)
        for j in order:
            first[:, j] = inverse[:, j] * (gradients[:, j] + torch.linalg.vecdot(self.products[:, j], factors))
            factors[:, length + j] = -first[:, j]
        factors *= own[:, None]
        for j in reversed(order):
            product = own * gradients[:, length + j] + torch.linalg.vecdot(self.products[:, length + j], factors)
            factors[:, j] = first[:, j] - inverse[:, j] * product
        return factors, own
