"""Which layers of a pre-trained image model tell people apart, and how sure are we?

One road: images -> network -> waves of layers -> instruments -> stored arrays -> tables, figures, findings.
`audit.audit` walks it, `instruments` holds what can be measured.
Axes everywhere: N images, L layers, D features of one layer, T targets, C classes of one target, G groups,
R regularisation strengths, F folds, S seeds, U units of a layer, K nodes of a map, P permutations or bootstrap draws.
"""

__version__ = "0.3.0"
