"""Reducers that the tests share."""

# Count, mean and sum of squared distances from it (Chan, Golub and LeVeque, 1983).
MOMENTS = """
reducer moments(n: f32, mean: f32, m2: f32) commutes {
  identity { n = 0; mean = 0; m2 = 0 }
  combine(a, b) {
    n    = a.n + b.n
    dl   = b.mean - a.mean
    f    = if n == 0 then 0 else b.n / n
    mean = a.mean + dl*f
    m2   = a.m2 + b.m2 + dl*dl*a.n*f
  }
}
"""
