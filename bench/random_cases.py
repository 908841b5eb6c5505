"""`./dev bench --random N --seed S`: N cases of random shapes, so that no schedule is made for those of cases.py alone.

Products of all forms, rows, transposes and convolutions beside torch; small, skinny and odd dims are as frequent as large ones.
"""

import random

import numpy as np

from cases import Maker, exact_layernorm, exact_softmax, into, into_copy

FORMS = ["matmul", "matmul_nt", "matmul_tn", "matmul_tt"]
DIMS = [(1, 2, 4, 8, 16), (32, 48, 64, 96, 100, 127, 128), (192, 200, 256, 300, 333, 384, 500, 512), (640, 768, 1000, 1024, 1536, 2000, 2048)]


class RandomMaker(Maker):
    def __init__(self, threads, count, seed):
        super().__init__(threads)
        self.count, self.draw = count, random.Random(seed)

    def all(self):
        for _ in range(self.count):
            yield self.draw.choice([self.product, self.product, self.product, self.row, self.convolution])()

    def dims(self, number, least, most):
        """So many dims whose product is from `least` to `most`."""
        while True:
            dims = [self.draw.choice(self.draw.choice(DIMS)) for _ in range(number)]
            if least <= int(np.prod(dims)) <= most:
                return dims

    def product(self):
        m, k, n = self.dims(3, 20_000, 1_500_000_000)
        op = self.draw.choice([*FORMS, "linear", "bmm"])
        if op in FORMS:
            return self.form(f"random {op}", op, m, k, n)
        if op == "linear":
            return self.case("random linear", "linalg.linear", f"{m}x{k}x{n}", lambda: (self.normal(m, k), self.normal(n, k), self.normal(n)),
                             torch=lambda t, x, w, b: lambda: t.nn.functional.linear(x, w, b), expected=lambda x, w, b: x.astype(np.float64) @ w.T + b,
                             flops=2.0 * m * k * n, moved=4.0 * (m * k + k * n + m * n))
        batch = max(1, min(self.draw.choice([3, 8, 32]), 1_000_000_000 // (m * k * n)))
        return self.case("random bmm", "linalg.bmm", f"{batch}x{m}x{k}x{n}", lambda: (self.normal(batch, m, k), self.normal(batch, k, n)),
                         torch=lambda t, x, y: into(t.bmm, t.bmm(x, y), x, y), expected=lambda x, y: x.astype(np.float64) @ y,
                         flops=2.0 * batch * m * k * n, moved=4.0 * batch * (m * k + k * n + m * n))

    def row(self):
        r, c = self.dims(2, 500, 6_000_000)
        shape, x, elements = f"{r}x{c}", lambda: (self.normal(r, c),), float(r * c)
        f = lambda t: t.nn.functional
        return self.draw.choice([
            lambda: self.case("random rows", "nn.softmax", shape, x, torch=lambda t, x: into(t.softmax, t.empty_like(x), x, 1), expected=exact_softmax,
                              moved=8 * elements, exps=elements),
            lambda: self.case("random rows", "nn.layernorm", shape, lambda: (self.normal(r, c), self.normal(c), self.normal(c)),
                              torch=lambda t, x, w, b: lambda: f(t).layer_norm(x, w.shape, w, b), expected=exact_layernorm, flops=7 * elements,
                              moved=8 * elements),
            lambda: self.case("random rows", "reduce.sum_rows", shape, x, torch=lambda t, x: into(t.sum, t.sum(x, 1), x, 1),
                              expected=lambda x: x.astype(np.float64).sum(1), flops=elements, moved=4 * elements),
            lambda: self.case("random rows", "reduce.sum_cols", shape, x, torch=lambda t, x: into(t.sum, t.sum(x, 0), x, 0),
                              expected=lambda x: x.astype(np.float64).sum(0), flops=elements, moved=4 * elements),
            lambda: self.case("random rows", "reduce.argmax", shape, x, numpy=lambda out, x: x.argmax(1, out=out), expected=lambda x: x.argmax(1),
                              tolerance=0, flops=elements, moved=4 * elements),
            lambda: self.case("random rows", "reduce.cumsum", shape, x, torch=lambda t, x: into(t.cumsum, t.empty_like(x), x, 1),
                              expected=lambda x: x.astype(np.float64).cumsum(1), flops=elements, moved=8 * elements),
            lambda: self.case("random rows", "nn.gelu", shape, x, torch=lambda t, x: lambda: f(t).gelu(x), moved=8 * elements, exps=elements),
            lambda: self.case("random transpose", "data.transpose", shape, x, torch=lambda t, x: into_copy(t.empty(x.shape[::-1]), x.t()),
                              expected=lambda x: x.T, tolerance=0, moved=8 * elements),
        ])()

    def convolution(self):
        pick = self.draw.choice
        while True:
            batch, cin, cout = pick([1, 1, 2, 4]), pick([1, 3, 16, 32, 48, 64, 128, 256, 512]), pick([8, 16, 32, 48, 64, 96, 128, 256, 512])
            size, k, stride = pick([7, 8, 14, 16, 20, 28, 32, 50, 56, 64, 112]), pick([1, 1, 3, 3, 3, 5, 7]), pick([1, 1, 1, 2])
            o = (size + 2 * (k // 2) - k) // stride + 1
            if 1e5 < batch * cin * cout * k * k * o * o < 5e8:
                break
        return self.case("random convolution", "nn.conv2d", f"{batch}x{size}x{size} {cin}->{cout} {k}x{k} s{stride}",
                         lambda: (self.normal(batch, cin, size, size), self.normal(cout, cin, k, k)),
                         torch=lambda t, x, w: lambda: t.nn.functional.conv2d(x, w, stride=stride, padding=k // 2), stride=stride, padding=k // 2,
                         flops=2.0 * batch * cout * cin * k * k * o * o, moved=4.0 * (batch * cin * size * size + cout * cin * k * k + batch * cout * o * o))
