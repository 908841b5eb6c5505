"""The simulator of NeuronCore: runs NKI text, whoever wrote it, and models its time.

    from heddle import neuron
    y, report = neuron.simulate(open("kernel.py").read(), a, b)
    print(report)                         # modelled time, engines, DMA bytes
    report.save_timeline("t.json")        # for Perfetto; "t.svg" is a picture

Nothing here is measured on a device: docs/neuron-model.md says what the model knows, and how far from published numbers it is.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from . import _heddle, device
from .errors import Error  # noqa: F401  what `simulate` raises


@dataclasses.dataclass(frozen=True)
class Report:
    kernel: str
    target: str
    modelled_us: float
    utilisation: float  #: of the Tensor engine's peak, by the products computed
    critical: str  #: the engine that is busy longest
    engines: dict  #: busy fractions
    instructions: dict
    dma_bytes: int
    hbm_read_bytes: int
    hbm_written_bytes: int
    flops: float
    sbuf_peak_bytes: int  #: of a partition
    psum_peak_banks: int
    static_instructions: int
    text: str = dataclasses.field(repr=False)
    timeline: str | None = dataclasses.field(default=None, repr=False)  #: Chrome trace JSON, with `timeline=True`
    picture: str | None = dataclasses.field(default=None, repr=False)  #: the same as SVG

    def __str__(self):
        return self.text

    def _repr_svg_(self):
        return self.picture

    def save_timeline(self, path):
        """Writes the Chrome trace, or the picture when the name ends in .svg."""
        if self.timeline is None:
            raise ValueError("simulate with `timeline=True` to have one")
        pathlib.Path(path).write_text(self.picture if str(path).endswith(".svg") else self.timeline)


@dataclasses.dataclass(frozen=True)
class Rule:
    name: str
    number: int
    code: str
    text: str
    path: str  #: in the aws-neuron-sdk documentation tree


def rules():
    """The documented rules that the simulator enforces."""
    return [Rule(*row) for row in _heddle.nki_rules()]


def simulate(text, *arguments, target="neuron/trn2", kernel="", seed=1, shuffle=True, data=True, timeline=False,
             max_instructions=50_000, name="<nki>", **scalars):
    """Outputs (one array, or a tuple) and a `Report`.

    Scalars of the kernel may be given by name. `seed` chooses the random legal order of the five engine streams; `shuffle=False` is program order. With `data=False` only rules and
    time are looked at; arguments may then be `(type, shape)` pairs.
    """
    given = [np.ascontiguousarray(a) if isinstance(a, np.ndarray) else a for a in arguments]
    given = [a.reshape(b.shape) if isinstance(a, np.ndarray) else a for a, b in zip(given, arguments)]
    outputs, report, trace, picture = _heddle.simulate_nki(text, name, given, target, kernel, scalars, seed, shuffle, data, timeline, max_instructions)
    report = Report(**report, timeline=trace, picture=picture)
    if not data:
        return None, report
    return (outputs[0] if len(outputs) == 1 else tuple(outputs)), report


def run(text, *arguments, target="neuron/trn2", libnrt=None, **limits):
    """The outputs of a kernel on a device; refused with what is missing where there is none. `limits`: see `heddle.device.run`.

    The simulator reads the text first, so what breaks a documented rule is refused before the vendor's compiler sees it.
    """
    given, shapes = [], []
    for a in arguments:
        given.append(np.ascontiguousarray(a).reshape(a.shape) if isinstance(a, np.ndarray) else a)
    for array in _heddle.simulate_nki(text, "<nki>", given, target, "", {}, 1, True, False, False, 50_000)[0]:
        shapes.append((array.dtype, array.shape))
    outputs = device.run(text, given, shapes, target=target, libnrt=libnrt, **limits)
    return outputs[0] if len(outputs) == 1 else outputs
