// Printed programs read back to programs that are equal up to names, and what is no program is refused at its place.
#include "frontend/program_text.h"

#include <gtest/gtest.h>

#include "ir/print.h"

namespace heddle::frontend {
namespace {

// Text that the printer would give, read and printed again, is the same text.
void expect_stable(const std::string& text) {
  Result<ir::Program> first = read_program(Source::make("<program>", text));
  ASSERT_TRUE(first.ok()) << render(first.errors());
  std::string printed = ir::print(*first);
  Result<ir::Program> second = read_program(Source::make("<printed>", printed));
  ASSERT_TRUE(second.ok()) << printed << render(second.errors());
  EXPECT_TRUE(ir::equal_up_to_names(*first, *second)) << printed;
  EXPECT_EQ(ir::structural_hash(*first), ir::structural_hash(*second));
  EXPECT_EQ(printed, ir::print(*second));
}

TEST(ProgramText, softmax_rows_with_partial_sums) {
  expect_stable(R"(
program softmax.rows(in x: f32[rows, cols] in dram, out y: f32[rows, cols] in dram) on cpu allow reassociate facts (rows >= 0, cols >= 0) {
  stage part(map r in 0 .. rows, map cv in 0 .. 16, reduce co in 0 .. ceildiv(cols, 16)) by sum where 16*co + cv < cols
  stage total(map r in 0 .. rows, reduce cv in 0 .. 16) by sum
  stage y(map r in 0 .. rows, map c in 0 .. cols)
  for y.ro in 0 .. ceildiv(rows, 4) parallel {
    for y.ri in 0 .. 4 {
      alloc part: f32[r in 4*ro + ri .. 4*ro + ri + 1, cv in 0 .. 16] in registers
      reduce part[4*ro + ri, 0 .. 16] by sum {
        for part.co in 0 .. ceildiv(cols, 16) {
          for part.cv in 0 .. 16 vector {
            at part(r = 4*ro + ri, cv = cv, co = co) where 4*ro + ri < rows && 16*co + cv < cols { part[r, cv] sum= x[r, 16*co + cv] }
          }
        }
      }
      alloc total: f32[r in 4*ro + ri .. 4*ro + ri + 1] in registers
      reduce total[4*ro + ri] by sum reassociated {
        for total.cv in 0 .. 16 {
          at total(r = 4*ro + ri, cv = cv) where 4*ro + ri < rows { total[r] sum= part[r, cv] }
        }
      }
      for y.c in 0 .. cols unrolled {
        at y(r = 4*ro + ri, c = c) where 4*ro + ri < rows { y[r, c] = x[r, c] / total[r] }
      }
    }
  }
}
)");
}

TEST(ProgramText, instructions_layouts_and_windows) {
  expect_stable(R"(
instr amx_dot(inout c: f32[m <= 16, n <= 16] in tile, a: bf16[m, k <= 32] in tile, b: bf16[k, n] in tile layout(k, j) -> (k/2, j, k%2)) numerics reassociates, flushes_denormals {
  c[i, j] sum= f32(a[i, p]) * f32(b[p, j])
}
program matmul.amx(in a: bf16[16, k] in dram, in b: bf16[k, 16] in dram, out c: f32[16, 16] in dram) facts (k >= 0) {
  require k % 32 == 0, "whole tiles"
  stage acc(map i in 0 .. 16, map j in 0 .. 16, reduce p in 0 .. k) by sum
  stage at_(map i in 0 .. 16, map p in 0 .. k)
  stage bt(map p in 0 .. k, map j in 0 .. 16)
  stage c(map i in 0 .. 16, map j in 0 .. 16)
  alloc acc: f32[i in 0 .. 16, j in 0 .. 16] in tile
  reduce acc[0 .. 16, 0 .. 16] by sum {
    for acc.po in 0 .. k/32 {
      alloc at_: bf16[i in 0 .. 16, p in 32*po .. 32*po + 32] in tile
      alloc bt: bf16[p in 32*po .. 32*po + 32, j in 0 .. 16] in tile layout(r, s) -> (r/2, s, r%2) pad 0.0 copies 2
      for at_.i in 0 .. 16 {
        for at_.p in 0 .. 32 {
          at at_(i = i, p = 32*po + p) { at_[i, p] = a[i, p] }
        }
      }
      for bt.p in 0 .. 32 {
        for bt.j in 0 .. 16 {
          at bt(p = 32*po + p, j = j) { bt[p, j] = b[p, j] }
        }
      }
      call amx_dot(acc[0 .. 16, 0 .. 16], at_[0 .. min(16, k) <= 16, 32*po .. 32*po + 32], bt[32*po .. 32*po + 32, 0 .. 16])
    }
  }
  for c.i in 0 .. 16 {
    for c.j in 0 .. 16 vector {
      at c(i = i, j = j) { c[i, j] = acc[i, j] }
    }
  }
}
)");
}

TEST(ProgramText, states_of_user_reducers) {
  expect_stable(R"(
reducer online(m: f32, l: f32, o: f32[d]) commutes {
  identity {
    m = -inf
    l = 0.0
    o[e] = 0.0
  }
  combine(a, b) {
    m = max(a.m, b.m)
    wa = if a.m == f32(-inf) then 0.0 else exp(a.m - m)
    wb = if b.m == f32(-inf) then 0.0 else exp(b.m - m)
    l = a.l * wa + b.l * wb
    o[e] = a.o[e] * wa + b.o[e] * wb
  }
}
program attention(in s: f32[n, t] in dram, in v: f32[t, d] in dram, scale: f32 = 0.5, out y: f32[n, d] in dram) facts (n >= 0, t >= 0, d >= 0) {
  stage st(map i in 0 .. n, reduce j in 0 .. t) by online where j <= i + t - n
  stage y(map i in 0 .. n, map e in 0 .. d)
  alloc st: online[i in 0 .. n] in dram
  for st.i in 0 .. n {
    reduce st[i] by online {
      for st.j in 0 .. t {
        at st(i = i, j = j) where j <= i + t - n { st[i] online= (m = s[i, j] * scale, l = 1.0, o[e in 0 .. d] = v[j, e]) }
      }
    }
  }
  for y.i in 0 .. n {
    for y.e in 0 .. d {
      at y(i = i, e = e) { y[i, e] = if st[i].l > 0.0 then st[i].o[e] / st[i].l else 0.0 }
    }
  }
}
)");
}

TEST(ProgramText, hidden_loops_checks_and_every_kind_of_loop) {
  expect_stable(R"(
program f(inout x: f32[n, m] in dram, in id: i64[n] in dram, out y: i8[n] in dram) on cpu/avx512 allow reassociate, flush_denormals, contract facts (n >= 0, m >= 0) {
  let half = n/2
  require half >= 0, "a \"quoted\" text"
  stage y(map i in 0 .. n)
  stage x(map i in 0 .. n, map j in 0 .. m) impure
  for y@check1.i in 0 .. n {
    check 0 <= index(id[i]) && index(id[i]) < n, "`id[i]` is inside `x`" at i
  }
  for y.i in 0 .. n pipelined 3 {
    for z.i in 0 .. 1 on partition {
      at y(i = y.i) { y[i] = saturate(i8, x[index(id[i]), 0] or -1.5) }
    }
  }
  for x.i in 0 .. n parallel {
    for x.j in 0 .. m {
      at x(i = i, j = j) where !(i == j) || j > 2 recomputed { x[i, j] <- if x[i, j] == f32(nan) then -x[i, j] else max(x[i, j], 1.0e-7) }
    }
  }
}
)");
}

struct Refusal {
  const char* name;
  const char* text;
  const char* code;
  int line, column;
};
class ProgramRefused : public testing::TestWithParam<Refusal> {};

TEST_P(ProgramRefused, at_its_place) {
  Result<ir::Program> p = read_program(Source::make("<program>", GetParam().text));
  ASSERT_FALSE(p.ok());
  const Diagnostic& d = p.errors().front();
  EXPECT_EQ(d.code, GetParam().code) << render(p.errors());
  auto at = d.place.source->at(d.place.begin);
  EXPECT_EQ(at.line, GetParam().line) << render(p.errors());
  EXPECT_EQ(at.column, GetParam().column) << render(p.errors());
}

const Refusal refusals[] = {
    {"unknown_buffer",
     "program f(out y: f32[4] in dram) {\n stage y(map i in 0 .. 4)\n for y.i in 0 .. 4 { at y(i = i) { y[i] = z[i] } "
     "}\n}",
     "HD0101", 3, 43},
    {"unknown_stage", "program f(out y: f32[4] in dram) {\n for y.i in 0 .. 4 { at y(i = i) { y[i] = 0.0 } }\n}",
     "HD0101", 2, 25},
    {"unknown_loop", "program f(out y: f32[4] in dram) {\n stage y(map i in 0 .. 4)\n at y(i = q) { y[i] = 0.0 }\n}",
     "HD0101", 3, 11},
    {"unbound_axis", "program f(out y: f32[4] in dram) {\n stage y(map i in 0 .. 4)\n at y() { y[i] = 0.0 }\n}",
     "HD0128", 3, 2},
    {"unknown_memory", "program f(out y: f32[4] in cloud) {\n}", "HD0128", 1, 28},
    {"unknown_instr", "program f(out y: f32[4] in dram) {\n call dot(y[0 .. 4])\n}", "HD0101", 2, 7},
    {"silent_conversion",
     "program f(in x: i8[4] in dram, out y: f32[4] in dram) {\n stage y(map i in 0 .. 4)\n for y.i in 0 .. 4 { at y(i "
     "= i) { y[i] = x[i] } }\n}",
     "HD0111", 3, 43},
    {"undefined_dim", "program f(out y: f32[k] in dram) {\n}", "HD0104", 1, 22},
    {"broken_invariant",
     "program f(in x: f32[4] in dram, out y: f32[] in dram) {\n stage y(reduce i in 0 .. 4) by sum\n for y.i in 0 .. 4 "
     "{ at y(i = i) { y sum= x[i] } }\n}",
     "HD0201", 3, 22},
    {"two_programs", "program f() {\n}\nprogram g() {\n}", "HD0128", 1, 1},
};
INSTANTIATE_TEST_SUITE_P(ProgramText, ProgramRefused, testing::ValuesIn(refusals),
                         [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace heddle::frontend
