// Reducers that random ops use, with fields of one or several cells; the last two have a form for whole ranges.
#pragma once

namespace heddle::fuzz {

inline constexpr const char* reducer_texts[] = {
    "reducer moments<T: float>(n: T, mean: T, m2: T) commutes {\n  identity { n = 0; mean = 0; m2 = 0 }\n"
    "  combine(a, b) {\n    n = a.n + b.n\n    dl = b.mean - a.mean\n    f = if n == 0 then 0 else b.n / n\n"
    "    mean = a.mean + dl*f\n    m2 = a.m2 + b.m2 + dl*dl*a.n*f\n  }\n}\n",
    "reducer mixed(top: f32, o: f32[4]) commutes {\n  identity { top = -inf; o[e] = 0 }\n"
    "  combine(a, b) { top = max(a.top, b.top); o[e] = a.o[e] + b.o[e] }\n}\n",
    "reducer online(m: f32, l: f32) commutes {\n  identity { m = -inf; l = 0 }\n  combine(a, b) {\n"
    "    m = max(a.m, b.m)\n    wa = if a.m == -inf then 0 else exp(a.m - m)\n"
    "    wb = if b.m == -inf then 0 else exp(b.m - m)\n    l = a.l*wa + b.l*wb\n  }\n  of[j] x {\n"
    "    m = max[j] x[j].m\n    w[j] = if x[j].m == -inf then 0 else exp(x[j].m - m)\n"
    "    l = sum[j] w[j]*x[j].l\n  }\n}\n",
    "reducer rows(m: f32, l: f32, o: f32[d]) commutes {\n  identity { m = -inf; l = 0; o[e] = 0 }\n"
    "  combine(a, b) {\n    m = max(a.m, b.m)\n    wa = if a.m == -inf then 0 else exp(a.m - m)\n"
    "    wb = if b.m == -inf then 0 else exp(b.m - m)\n    l = a.l*wa + b.l*wb\n"
    "    o[e] = a.o[e]*wa + b.o[e]*wb\n  }\n  of[j] x {\n    m = max[j] x[j].m\n"
    "    w[j] = if x[j].m == -inf then 0 else exp(x[j].m - m)\n    l = sum[j] w[j]*x[j].l\n"
    "    o[e] = sum[j] w[j]*x[j].o[e]\n  }\n}\n"};

}  // namespace heddle::fuzz
