"""The few sizes that probes are padded to, so that layers and targets of different sizes share compiled programs.

Padding changes no number: a column of zeros gets zero weights, and a class that does not occur in training has no
weights and a probability of 0 in float32. What is small costs little however large it is made, so steps are large
there; above, less than a third of the whole is added, and nothing at powers of two.
"""

AXES = 256  # the smallest number of principal axes
CLASSES = 1, 2, 8, 24  # the smallest numbers of classes; then 32, 48, 64, 96 and so on


def padded_axes(number: int) -> int:
    """At least so many principal axes: 256, 384, 512, 768, 1024 and so on."""
    return _padded(number, AXES)


def padded_classes(number: int) -> int:
    """At least so many classes."""
    return next((size for size in CLASSES if size >= number), _padded(number, 32))


def _padded(number: int, size: int) -> int:
    """The first of `size` times 1, 1.5, 2, 3, 4, 6 and so on that holds `number`."""
    while size < number:
        if 3 * size // 2 >= number:
            return 3 * size // 2
        size *= 2
    return size
