"""The laws of reducers, tried by `heddle check`."""


import pytest

import heddle as hd

GOOD = {
    "spread": ("reducer r(m: f32, h: f32) commutes exactly { identity { m = inf; h = -inf } combine(a, b) { m = min(a.m, b.m); h = max(a.h, b.h) } }", "m = x[i], h = x[i]"),
    "last": ("reducer r(m: f32, some: bool) { identity { m = 0; some = false } combine(a, b) { some = a.some || b.some; m = if b.some then b.m else a.m } }", None),
    "online": ("""reducer r(m: f32, l: f32, o: f32[d]) commutes {
  identity { m = -inf; l = 0; o[e] = 0 }
  combine(a, b) {
    m = max(a.m, b.m)
    wa = if a.m == -inf then 0 else exp(a.m - m)
    wb = if b.m == -inf then 0 else exp(b.m - m)
    l = a.l*wa + b.l*wb
    o[e] = a.o[e]*wa + b.o[e]*wb
  }
  of[j] x {
    m = max[j] x[j].m
    w[j] = if x[j].m == -inf then 0 else exp(x[j].m - m)
    l = sum[j] w[j]*x[j].l
    o[e] = sum[j] w[j]*x[j].o[e]
  }
}""", None),
}
BAD = {
    "not associative": "reducer r(m: f32) { identity { m = 0 } combine(a, b) { m = a.m - b.m } }",
    "does not commute": "reducer r(m: f32, n: f32) commutes { identity { m = 1; n = 0 } combine(a, b) { m = a.m * b.m; n = a.n * b.m + b.n } }",
    "another identity": "reducer r(m: f32) commutes { identity { m = 1 } combine(a, b) { m = a.m + b.m } }",
    "and rounds": "reducer r(m: f32) commutes exactly { identity { m = 0 } combine(a, b) { m = a.m + b.m } }",
    "a form `of`": "reducer r(m: f32, l: f32) commutes { identity { m = -inf; l = 0 } combine(a, b) { m = max(a.m, b.m); l = a.l + b.l } of[j] x { m = max[j] x[j].m; l = max[j] x[j].l } }",
}


@pytest.mark.parametrize("name", GOOD)
def test_laws_that_hold(name):
    hd.parse(GOOD[name][0] + "\nop f(x: f32[n]) -> y: f32[n] { y[i] = x[i] }").check()


@pytest.mark.parametrize("said", BAD)
def test_laws_that_do_not(said):
    with pytest.raises(hd.Error) as e:
        hd.parse(BAD[said] + "\nop f(x: f32[n]) -> y: f32[n] { y[i] = x[i] }").check()
    assert said in str(e.value) and e.value.code == "HD0133"
