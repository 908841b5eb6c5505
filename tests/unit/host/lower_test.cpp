// Each lowering pass on the smallest program that shows it: before -> after, as text. Over 500 lines, as it is one list: a test or two for
// each pass of the pipeline, by the same few helpers.
#include <gtest/gtest.h>

#include "backend/host/lower.h"
#include "backend/host/memory_plan.h"
#include "backend/host/passes.h"
#include "backend/host/target.h"
#include "backend/host/tiles.h"
#include "frontend/program_text.h"
#include "ir/print.h"

namespace heddle::host {
namespace {

ir::Program program_of(const std::string& body) {
  const std::string text = R"(
program p(in x: f32[m, n] in dram, in w: f32[n] in dram, out y: f32[m, n] in dram) facts (m >= 0, n >= 0) {
  stage y(map i in 0 .. m, map j in 0 .. n)
  stage t(map i in 0 .. m, map j in 0 .. n)
)" + body + "}\n";
  Result<ir::Program> p = frontend::read_program(Source::make("<program>", text));
  EXPECT_TRUE(p.ok()) << (p.ok() ? "" : render(p.errors()));
  return p.ok() ? *p : ir::Program{};
}

// The statements after the pass.
std::string after(ir::Program (*pass)(ir::Program), const std::string& body) {
  const ir::Program out = pass(program_of(body));
  std::string text;
  for (const ir::StmtRef& s : out.body) text += ir::print(out, s, 1);
  return text;
}

TEST(Lower, skip_identities) {
  const std::string text = R"(
program p(in x: f32[m, n] in dram, in odd: bool[m] in dram, out y: i32[m] in dram) facts (m >= 0, n >= 0) {
  stage y(map i in 0 .. m, reduce j in 0 .. n) by min
  for y.i in 0 .. m {
    reduce y[i] by min {
      for y.j in 0 .. n {
        at y(i = i, j = j) { y[i] min= if odd[i] && x[i, j] < 0.0 then i32(j) else 2147483647 }
      }
    }
  }
}
)";
  Result<ir::Program> p = frontend::read_program(Source::make("<program>", text));
  ASSERT_TRUE(p.ok()) << render(p.errors());
  EXPECT_NE(ir::print(skip_identities(*p))
                .find("at y(i = i, j = j) where odd[i] { y[i] min= if x[i, j] < 0.0 then i32(j) else 2147483647 }"),
            std::string::npos)
      << ir::print(skip_identities(*p));
}

std::string printed_after(ir::Program (*pass)(ir::Program), const std::string& text) {
  Result<ir::Program> p = frontend::read_program(Source::make("<program>", text));
  EXPECT_TRUE(p.ok()) << render(p.errors());
  return p.ok() ? ir::print(pass(*p)) : "";
}

// A temporary `t` of each row that a leaf reads under a condition on data.
std::string reads_under(const std::string& condition, const std::string& between = "", const std::string& subs = "i") {
  return R"(
program p(in x: f32[m, n] in dram, in odd: bool[m] in dram, out y: f32[m] in dram, out z: f32[m] in dram) facts (m >= 0, n >= 0) {
  stage t(map i in 0 .. m, reduce j in 0 .. n) by sum
  stage y(map i in 0 .. m)
  stage z(map i in 0 .. m)
  for y.i in 0 .. m {
    alloc t: f32[i in i .. i + 1] in registers
    alloc flag: bool[i in i .. i + 1] in registers
    reduce t[i] by sum {
      for t.j in 0 .. n {
        at t(i = i, j = j) { t[i] sum= x[i, j] }
      }
    }
)" + between +
         "    at y(i = i) where " + condition + " { y[i] = t[" + subs + "] }\n  }\n}\n";
}

TEST(Lower, skip_unread) {
  EXPECT_NE(
      printed_after(skip_unread, reads_under("odd[i]")).find("at t(i = i, j = j) where odd[i] { t[i] sum= x[i, j] }"),
      std::string::npos);
  EXPECT_NE(printed_after(skip_unread, reads_under("odd[i] && 3 < i")).find("at t(i = i, j = j) where odd[i] {"),
            std::string::npos);
}

TEST(Lower, skip_unread_makes_what_may_be_read) {
  auto kept = [](const std::string& text) {
    const std::string out = printed_after(skip_unread, text);
    EXPECT_NE(out.find("at t(i = i, j = j) { t[i] sum= x[i, j] }"), std::string::npos) << out;
  };
  // A condition that speaks of no data, one whose reads may lie outside of their tensor, and a second reader without it.
  kept(reads_under("3 < i"));
  kept(reads_under("i + 1 < m && odd[i + 1]"));
  kept(reads_under("odd[i]", "    at z(i = i) { z[i] = t[i] }\n"));
}

TEST(Lower, conditions_to_bounds) {
  const std::string text = R"(
program p(in x: f32[m, n] in dram, in odd: bool[m] in dram, out y: f32[m, n] in dram) facts (m >= 0, n >= 0) {
  stage y(map i in 0 .. m, map j in 0 .. n)
  for y.i in 0 .. m {
    for y.j in 0 .. n {
      at y(i = i, j = j) where CONDITION { y[i, j] = x[i, j] }
    }
  }
}
)";
  auto of = [&](const std::string& condition) {
    std::string with = text;
    return printed_after(conditions_to_bounds, with.replace(with.find("CONDITION"), 9, condition));
  };
  const std::string hoisted = of("odd[i] && i + j < n");
  EXPECT_NE(hoisted.find("for y.j in 0 .. (if odd[i] then n else 0) {"), std::string::npos) << hoisted;
  EXPECT_NE(hoisted.find("at y(i = i, j = j) where i + j < n {"), std::string::npos) << hoisted;
  // What differs between iterations, what may read outside, and what the loop itself writes stay where they are.
  for (const char* kept : {"x[i, j] < 0.0", "i + 1 < m && odd[i + 1]", "y[i, 0] < 0.0"})
    EXPECT_NE(of(kept).find("for y.j in 0 .. n {"), std::string::npos) << of(kept);
}

TEST(Lower, unswitch) {
  const std::string text = R"(  for y.jo in 0 .. ceildiv(n, 8) {
    for y.i in 0 .. m {
      for y.jv in 0 .. 8 vector {
        at y(i = i, j = 8*jo + jv) where 8*jo + jv < n { y[i, j] = x[i, j] }
      }
    }
  }
)";
  auto on_avx2 = [](ir::Program p) { return unswitch(std::move(p), *target_for_emission("cpu/avx2")); };
  auto on_avx512 = [](ir::Program p) { return unswitch(std::move(p), *target_for_emission("cpu/avx512")); };
  EXPECT_EQ(after(on_avx2, text), R"(  for y.jo in 0 .. ceildiv(n, 8) {
    for y.i in 0 .. (if 8*jo - n + 7 < 0 then m else 0) {
      for y.jv in 0 .. 8 vector {
        at y(i = i, j = 8*jo + jv) { y[i, j] = x[i, j] }
      }
    }
    for y@rest.i in 0 .. (if 8*jo - n + 7 < 0 then 0 else m) {
      for y@rest.jv in 0 .. 8 vector {
        at y(i = i, j = 8*jo + jv) where 8*jo + jv < n { y[i, j] = x[i, j] }
      }
    }
  }
)");
  EXPECT_EQ(after(on_avx512, text), text);
  // Short loops inside are taken as a whole, whatever they are cut to.
  const std::string panels = R"(  for y.jb in 0 .. ceildiv(n, 16) {
    for y.i in 0 .. m {
      for y.jo in 0 .. min(2, ceildiv(n, 8) - 2*jb) {
        for y.jv in 0 .. 8 vector {
          at y(i = i, j = 16*jb + 8*jo + jv) where 16*jb + 8*jo + jv < n { y[i, j] = x[i, j] }
        }
      }
    }
  }
)";
  EXPECT_NE(after(on_avx2, panels).find("for y.i in 0 .. (if 16*jb - n + 15 < 0 then m else 0) {"), std::string::npos)
      << after(on_avx2, panels);
  // Conditions of a loop that runs inside stay: there `partition` splits it.
  std::string other = text;
  for (size_t at; (at = other.find("8*jo + jv < n")) != std::string::npos;) other.replace(at, 13, "i + jv < 3");
  EXPECT_EQ(after(on_avx2, other), other);
}

TEST(Lower, skip_identities_keeps_what_is_no_identity) {
  const std::string body = R"(  for y.i in 0 .. m {
    for y.j in 0 .. n {
      at y(i = i, j = j) { y[i, j] = if w[0] < 0.0 then x[i, j] else 0.0 }
    }
  }
)";
  EXPECT_EQ(after(skip_identities, body), body);
}

TEST(Lower, guards_to_bounds) {
  EXPECT_EQ(after(guards_to_bounds, R"(
  for y.io in 0 .. ceildiv(m, 4) {
    for y.ii in 0 .. 4 {
      for y.j in 0 .. n {
        at y(i = 4*io + ii, j = j) where 4*io + ii < m { y[i, j] = x[i, j] }
      }
    }
  }
)"),
            R"(  for y.io in 0 .. ceildiv(m, 4) {
    for y.ii in 0 .. min(4, m - 4*io) {
      for y.j in 0 .. n {
        at y(i = 4*io + ii, j = j) { y[i, j] = x[i, j] }
      }
    }
  }
)");
}

TEST(Lower, unroll_registers_of_loops_inside_which_the_registers_stand) {
  const std::string text = R"(
  for y.io in 0 .. 4 {
    alloc t: f32[i in 8*io .. 8*io + 8, j in 0 .. 1] in registers
    for t.i in 0 .. 8 {
      at t(i = 8*io + i, j = 0) where 8*io + i < m { t[i, j] = x[i, j] }
    }
    for y.ii in 0 .. 8 {
      at y(i = 8*io + ii, j = 0) where 8*io + ii < m { y[i, j] = t[i, j] }
    }
  }
)";
  const std::string seen = after(unroll_registers, text);
  EXPECT_NE(seen.find("for y.io in 0 .. 4 {"), std::string::npos) << seen;
  EXPECT_NE(seen.find("for t.i in 0 .. 8 unrolled {"), std::string::npos) << seen;
  EXPECT_NE(seen.find("for y.ii in 0 .. 8 unrolled {"), std::string::npos) << seen;
}

TEST(Lower, unroll_registers_of_a_loop_where_they_begin) {
  const std::string seen = after(unroll_registers, R"(
  for y.io in 0 .. 1 {
    alloc t: f32[i in io .. io + 1, j in 0 .. 1] in registers
    for t.i in 0 .. 1 {
      at t(i = i, j = 0) where i < m { t[i, j] = x[i, j] }
    }
    at y(i = io, j = 0) where io < m { y[i, j] = t[i, j] }
  }
)");
  EXPECT_NE(seen.find("for y.io in 0 .. 1 unrolled {"), std::string::npos) << seen;
}

TEST(Lower, outer_bounds) {
  EXPECT_EQ(after(outer_bounds, R"(
  for y.ib in 0 .. ceildiv(m, 512) {
    for y.io in 0 .. 86 {
      for y.ii in 0 .. 6 unrolled {
        for y.j in 0 .. n {
          at y(i = 512*ib + 6*io + ii, j = j) where 6*io + ii < 512 && 512*ib + 6*io + ii < m { y[i, j] = x[i, j] }
        }
      }
    }
  }
)"),
            R"(  for y.ib in 0 .. ceildiv(m, 512) {
    for y.io in 0 .. min(86, ceildiv(m - 2*ib, 6) - 85*ib) {
      for y.ii in 0 .. 6 unrolled {
        for y.j in 0 .. n {
          at y(i = 512*ib + 6*io + ii, j = j) where 6*io + ii < 512 && 512*ib + 6*io + ii < m { y[i, j] = x[i, j] }
        }
      }
    }
  }
)");
}

TEST(Lower, outer_bounds_of_vectors_of_sums) {
  const auto with = [](const std::string& before, const std::string& op, const std::string& behind) {
    return after(outer_bounds, R"(
  for y.jo in 0 .. ceildiv(n, 64) {
    alloc t: f32[i in 0 .. 1, j in 64*jo .. 64*jo + 64] in l1
)" + before + R"(
    for t.jb in 0 .. 4 {
      for t.ji in 0 .. 16 vector {
        at t(i = 0, j = 64*jo + 16*jb + ji) where 64*jo + 16*jb + ji < n { t[i, j] )" +
                                   op + R"( w[j] }
      }
    }
)" + behind + "  }\n");
  };
  EXPECT_NE(with("", "=", "").find("for t.jb in 0 .. 4 {"), std::string::npos)
      << "a row is filled for whoever reads it";
  const std::string summed = with("reduce t[0, 64*jo .. 64*jo + 64] by sum {", "sum=", "}");
  EXPECT_NE(summed.find("for t.jb in 0 .. min(4, ceildiv(n, 16) - 4*jo) {"), std::string::npos) << summed;
}

TEST(Lower, outer_bounds_only_where_all_leaves_end) {
  const std::string body = R"(  for y.io in 0 .. 8 {
    for t.ii in 0 .. 4 {
      at t(i = 4*io + ii, j = 0) where 4*io + ii < m { t[i, j] = x[i, j] }
    }
    for y.ii in 0 .. 4 {
      at y(i = 4*io + ii, j = 0) where 8*io + ii < m { y[i, j] = x[i, j] }
    }
  }
)";
  EXPECT_EQ(after(outer_bounds, "  alloc t: f32[i in 0 .. m, j in 0 .. n] in dram\n" + body),
            "  alloc t: f32[i in 0 .. m, j in 0 .. n] in dram\n" + body);
}

TEST(Lower, known_guards_below_a_peeled_loop) {
  EXPECT_EQ(after(known_guards, R"(
  for y.io in 0 .. max(0, ceildiv(m, 4) - 1) {
    for y.ii in 0 .. 4 {
      for y.j in 0 .. 2*n {
        at y(i = 4*io + ii, j = j) where 4*io + ii < m && j < n { y[i, j] = x[i, j] }
      }
    }
  }
)"),
            R"(  for y.io in 0 .. max(0, ceildiv(m, 4) - 1) {
    for y.ii in 0 .. 4 {
      for y.j in 0 .. 2*n {
        at y(i = 4*io + ii, j = j) where j < n { y[i, j] = x[i, j] }
      }
    }
  }
)");
}

TEST(Lower, known_guards_stay_in_the_last_block) {
  const std::string body = R"(  for y.io in max(0, ceildiv(m, 4) - 1) .. ceildiv(m, 4) {
    for y.ii in 0 .. 4 {
      at y(i = 4*io + ii, j = 0) where 4*io + ii < m { y[i, j] = x[i, j] }
    }
  }
)";
  EXPECT_EQ(after(known_guards, body), body);
}

TEST(Lower, guards_of_vectors_stay) {
  const std::string body = R"(  for y.i in 0 .. m {
    for y.jv in 0 .. 4 vector {
      at y(i = i, j = jv) where jv < n { y[i, j] = x[i, j] }
    }
  }
)";
  EXPECT_EQ(after(guards_to_bounds, body), body);
}

TEST(Lower, drop_guards_reads_the_last_row_again) {
  EXPECT_EQ(after(drop_guards, R"(
  for y.io in 0 .. ceildiv(m, 4) {
    alloc t: f32[i in 4*io .. 4*io + 4, j in 0 .. n] in l1
    for t.ii in 0 .. 4 unrolled {
      for t.j in 0 .. n {
        at t(i = 4*io + ii, j = j) where 4*io + ii < m { t[i, j] = x[i, j] }
      }
    }
  }
)"),
            R"(  for y.io in 0 .. ceildiv(m, 4) {
    alloc t: f32[i in 4*io .. 4*io + 4, j in 0 .. n] in l1
    for t.ii in 0 .. 4 unrolled {
      for t.j in 0 .. n {
        at t(i = 4*io + ii, j = j) { t[i, j] = x[min(i, m - 1), j] }
      }
    }
  }
)");
}

// The last row is another iteration's, which may be writing it: that of `x` may be read again, that of `c` not.
TEST(Lower, drop_guards_keeps_to_the_cells_of_an_iteration) {
  const std::string body = R"(  alloc c: f32[i in 0 .. m, j in 0 .. n] in l1
  for y.ii in 0 .. 8 on free {
    for y.j in 0 .. n {
      at y(i = ii, j = j) where ii < m { c[i, j] = x[i, j] }
    }
    for t.j in 0 .. n {
      alloc t: f32[i in ii .. ii + 1, j in j .. j + 1] in l1
      at t(i = ii, j = j) where ii < m { t[i, j] = x[i, j] + c[i, j] }
    }
  }
)";
  EXPECT_EQ(after(drop_guards, body), body);
}

TEST(Lower, drop_guards_fills_lanes_with_zero) {
  EXPECT_EQ(after(drop_guards, R"(
  for y.jo in 0 .. ceildiv(n, 16) {
    alloc t: f32[i in 0 .. m, j in 16*jo .. 16*jo + 16] in l1
    for t.i in 0 .. m {
      for t.jv in 0 .. 16 vector {
        at t(i = i, j = 16*jo + jv) where 16*jo + jv < n { t[i, j] = x[i, j] }
      }
    }
  }
)"),
            R"(  for y.jo in 0 .. ceildiv(n, 16) {
    alloc t: f32[i in 0 .. m, j in 16*jo .. 16*jo + 16] in l1
    for t.i in 0 .. m {
      for t.jv in 0 .. 16 vector {
        at t(i = i, j = 16*jo + jv) { t[i, j] = if j < n then x[i, j] else 0.0 }
      }
    }
  }
)");
}

TEST(Lower, drop_guards_keeps_those_of_outputs_and_small_boxes) {
  const std::string output = R"(  for y.io in 0 .. ceildiv(m, 4) {
    for y.ii in 0 .. 4 unrolled {
      for y.j in 0 .. n {
        at y(i = 4*io + ii, j = j) where 4*io + ii < m { y[i, j] = x[i, j] }
      }
    }
  }
)";
  EXPECT_EQ(after(drop_guards, output), output);
  const std::string small = R"(  for y.io in 0 .. ceildiv(m, 4) {
    alloc t: f32[i in 0 .. m, j in 0 .. n] in l1
    for t.ii in 0 .. 4 unrolled {
      for t.j in 0 .. n {
        at t(i = 4*io + ii, j = j) where 4*io + ii < m { t[i, j] = x[i, j] }
      }
    }
  }
)";
  EXPECT_EQ(after(drop_guards, small), small);
}

TEST(Lower, partition_of_reads_that_are_tried) {
  const std::string text = R"(
program p(in x: f32[m, n] in dram, out y: f32[m + 2, n + 2] in dram) facts (m >= 0, n >= 0) {
  stage y(map i in 0 .. m + 2, map j in 0 .. n + 2)
  for y.i in 0 .. m + 2 {
    for y.jo in 0 .. ceildiv(n + 2, 16) {
      for y.jv in 0 .. 16 vector {
        at y(i = i, j = 16*jo + jv) where 16*jo + jv < n + 2 { y[i, j] = x[i - 1, j - 1] or 0.0 }
      }
    }
  }
}
)";
  const std::string out = printed_after(partition, text);
  // The first vector and the last ask where they read; between them only the row may lie outside.
  EXPECT_NE(out.find("for y.jo in 0 .. min(1, ceildiv(n + 2, 16)) {"), std::string::npos) << out;
  EXPECT_NE(
      out.find("at y(i = i, j = 16*jo + jv) { y[i, j] = if 0 <= i - 1 && i - 1 < m then x[i - 1, j - 1] else 0.0 }"),
      std::string::npos)
      << out;
  EXPECT_NE(out.find("{ y[i, j] = x[i - 1, j - 1] or 0.0 }"), std::string::npos) << out;
}

TEST(Lower, partition) {
  EXPECT_EQ(after(partition, R"(
  for y.i in 0 .. m {
    for y.jo in 0 .. ceildiv(n, 16) {
      for y.jv in 0 .. 16 vector {
        at y(i = i, j = 16*jo + jv) where 16*jo + jv < n { y[i, j] = x[i, j] * w[j] }
      }
    }
  }
)"),
            R"(  for y.i in 0 .. m {
    for y.jo in 0 .. n/16 {
      for y.jv in 0 .. 16 vector {
        at y(i = i, j = 16*jo + jv) { y[i, j] = x[i, j] * w[j] }
      }
    }
    for y.jo in n/16 .. ceildiv(n, 16) {
      for y.jv in 0 .. 16 vector {
        at y(i = i, j = 16*jo + jv) where 16*jo + jv < n { y[i, j] = x[i, j] * w[j] }
      }
    }
  }
)");
}

TEST(Lower, guards_of_small_tiles_of_temporaries_wait_for_drop_guards) {
  const std::string body = R"(  for y.io in 0 .. ceildiv(m, 6) {
    alloc t: f32[i in 6*io .. 6*io + 6, j in 0 .. n] in l1
    for t.ii in 0 .. 6 {
      for t.j in 0 .. n {
        at t(i = 6*io + ii, j = j) where 6*io + ii < m { t[i, j] = x[i, j] }
      }
    }
  }
)";
  EXPECT_EQ(after(guards_to_bounds, body), body);
}

// Loads of a tile in an instruction's program: `inside` stands in a loop over blocks of rows and, there, over blocks of columns.
ir::Program program_of_tiles(const std::string& columns, const std::string& inside) {
  const std::string text = R"(
instr amx_load_bf16(inout t: bf16[m <= 16, k <= 32] in tile, x: bf16[m, k] in dram) numerics exact {
  t[i, p] = x[i, p]
}
program p(in x: bf16[m, n] in dram, out y: bf16[m, n] in dram) facts (m >= 0, n >= 0) {
  stage y(map i in 0 .. m, map j in 0 .. n)
  stage s(map i in 0 .. m, map j in 0 .. n)
  stage t(map i in 0 .. m, map j in 0 .. n)
  for y.io in 0 .. ceildiv(m, 16) {
    alloc s: bf16[i in 16*io .. 16*io + 16, j in 0 .. 32] in l1
    alloc t: bf16[i in 16*io .. 16*io + 16, j in 0 .. 32] in tile
    call amx_load_bf16(t[16*io .. min(16*io + 16, m) <= 16, 0 .. 32], s[16*io .. min(16*io + 16, m) <= 16, 0 .. 32])
)" + columns + inside + "    }\n  }\n}\n";
  Result<ir::Program> p = frontend::read_program(Source::make("<program>", text));
  EXPECT_TRUE(p.ok()) << (p.ok() ? "" : render(p.errors()));
  return p.ok() ? *p : ir::Program{};
}

// Only the leaf says where the loop over columns ends: the load fills what nobody else sees.
TEST(Lower, call_bounds_of_loops_that_fill_their_own) {
  const ir::Program before = program_of_tiles("    for y.jo in 0 .. 8 {\n", R"(
      alloc t2: bf16[i in 16*io .. 16*io + 16, j in 0 .. 32] in tile
      call amx_load_bf16(t2[16*io .. min(16*io + 16, m) <= 16, 0 .. 32], s[16*io .. min(16*io + 16, m) <= 16, 0 .. 32])
      for y.ii in 0 .. 16 {
        for y.ji in 0 .. 32 {
          at y(i = 16*io + ii, j = 32*jo + ji) where 16*io + ii < m && 32*jo + ji < n { y[i, j] = s[i, j - 32*(j/32)] }
        }
      }
)");
  const ir::Program out = call_bounds(before, *target_for_emission("cpu/amx"));
  EXPECT_NE(ir::print(out).find("for y.jo in 0 .. min(8, ceildiv(n, 32)) {"), std::string::npos) << ir::print(out);
  EXPECT_NE(ir::print(out).find("for y.ji in 0 .. 32 {"), std::string::npos) << "of leaves alone, outer_bounds speaks";
}

TEST(Lower, single_iterations) {
  const ir::Program before = program_of_tiles("    for y.once in 0 .. 1 {\n", R"(
      alloc t2: bf16[i in 16*io + once .. 16*io + once + 16, j in 0 .. 32] in tile
      call amx_load_bf16(t2[16*io + once .. 16*io + once + 16, 0 .. 32], s[16*io .. 16*io + 16, 0 .. 32])
)");
  const std::string out = ir::print(single_iterations(before, *target_for_emission("cpu/amx")));
  EXPECT_EQ(out.find("once"), std::string::npos) << out;
  EXPECT_NE(out.find("alloc t2: bf16[i in 16*io .. 16*io + 16"), std::string::npos) << out;
  EXPECT_NE(out.find("call amx_load_bf16(t2[16*io .. 16*io + 16"), std::string::npos) << out;
}

// A loop whose extent a fact says is gone, so that `(i + v)%16` is `i%16`; one that has an iteration as it is written stays.
TEST(Lower, single_iterations_by_facts) {
  Result<ir::Program> p = frontend::read_program(Source::make(
      "<program>", R"(program f(in x: f32[m, k] in dram, out y: f32[m] in dram) facts (m >= 0, k >= 0, k == 1) {
  stage y(map i in 0 .. m, reduce v in 0 .. k) by sum
  for y.i in 0 .. m {
    for y.once in 0 .. 1 {
      reduce y[i + once] by sum {
        for y.v in 0 .. k {
          at y(i = i, v = v) { y[i] sum= x[i, v] }
        }
      }
    }
  }
}
)"));
  ASSERT_TRUE(p.ok()) << render(p.errors());
  const std::string out = ir::print(single_iterations(*p, *target_for_emission("cpu/avx2")));
  EXPECT_EQ(out.find("for y.v"), std::string::npos) << out;
  EXPECT_NE(out.find("at y(i = i, v = 0) { y[i] sum= x[i, v] }"), std::string::npos) << out;
  EXPECT_NE(out.find("for y.once"), std::string::npos) << out;
}

// A loop that threads would share for one iteration: its number is a constant to what is computed inside, so that sums stay in registers.
TEST(Lower, single_iterations_of_parallel_loops) {
  Result<ir::Program> p = frontend::read_program(
      Source::make("<program>", R"(program f(in x: f32[m] in dram, out y: f32[m] in dram) facts (m >= 0) {
  stage t(map i in 0 .. m)
  stage y(map i in 0 .. m)
  for y.r in 0 .. 1 parallel {
    for y.i in 0 .. m parallel {
      alloc t: f32[i in i + r .. i + r + 1] in registers
      at t(i = i + r) where i + r < m { t[i] = x[i] }
      at y(i = i + r) where i + r < m { y[i] = t[i] }
    }
  }
}
)"));
  ASSERT_TRUE(p.ok()) << render(p.errors());
  const std::string out = ir::print(single_iterations(*p, *target_for_emission("cpu/avx2")));
  EXPECT_EQ(out.find("y.r"), std::string::npos) << out;
  EXPECT_NE(out.find("for y.i in 0 .. m parallel {"), std::string::npos) << out;
  EXPECT_NE(out.find("alloc t: f32[i in i .. i + 1] in registers"), std::string::npos) << out;
}

// The body of a parallel loop is a function of its own, and begins with empty tiles.
TEST(Lower, no_tiles_across_the_begin_of_a_parallel_loop) {
  const ir::Target amx = *target_for_emission("cpu/amx");
  const std::string leaf = "at y(i = 16*io, j = jo) where 16*io < m && jo < n { y[i, j] = s[i, 0] }\n";
  const auto tiles = [&](const std::string& kind) {
    return plan_tiles(fit_calls(program_of_tiles("    for y.jo in 0 .. 32" + kind + " {\n", leaf), amx), amx).size();
  };
  EXPECT_EQ(tiles(""), 1U);
  EXPECT_EQ(tiles(" parallel"), 0U);
}

TEST(Lower, explicit_padding) {
  const ir::Program p = explicit_padding(program_of(R"(
  alloc t: f32[i in 0 .. m, j in 0 .. n] in l2 layout(i, j) -> (j/16, i, j%16)
  for t.i in 0 .. m {
    for t.j in 0 .. n {
      at t(i = i, j = j) { t[i, j] = x[i, j] }
    }
  }
)"));
  EXPECT_NE(ir::print(p, p.body[0], 0).find("j in 0 .. 16*ceildiv(n, 16)"), std::string::npos)
      << ir::print(p, p.body[0], 0);
  // A read with `or` ends at the box, which therefore stays.
  const ir::Program q = explicit_padding(program_of(R"(
  alloc t: f32[i in 0 .. m, j in 0 .. n] in l2 layout(i, j) -> (j/16, i, j%16)
  for y.i in 0 .. m {
    for y.j in 0 .. n {
      at y(i = i, j = j) { y[i, j] = t[i, j + 1] or 0.0 }
    }
  }
)"));
  EXPECT_NE(ir::print(q, q.body[0], 0).find("j in 0 .. n]"), std::string::npos);
}

// The second temporary takes the place of the first, whose last use has passed; the third is wider than both.
TEST(Lower, memory_of_dead_temporaries_is_taken_again) {
  const std::string text = R"(
program p(in x: f32[n] in dram, out y: f32[n] in dram) facts (n >= 0) {
  stage a(map i in 0 .. n)
  stage b(map i in 0 .. n)
  stage c(map i in 0 .. n)
  stage y(map i in 0 .. n)
  alloc a: f32[i in 0 .. n] in dram
  for a.i in 0 .. n {
    at a(i = i) { a[i] = x[i] }
  }
  alloc b: f32[i in 0 .. n] in dram
  for b.i in 0 .. n {
    at b(i = i) { b[i] = a[i] }
  }
  alloc c: f32[i in 0 .. n] in dram
  for c.i in 0 .. n {
    at c(i = i) { c[i] = b[i] }
  }
  for y.i in 0 .. n {
    at y(i = i) { y[i] = c[i] }
  }
}
)";
  Result<ir::Program> p = frontend::read_program(Source::make("<program>", text));
  ASSERT_TRUE(p.ok()) << render(p.errors());
  Result<MemoryPlan> plan = plan_memory(*p);
  ASSERT_TRUE(plan.ok());
  auto named = [&](const std::string& name) {
    for (size_t i = 0; i < p->buffers.size(); ++i)
      if (p->buffers[i].name == name) return plan->buffers[i];
    return Placement{};
  };
  EXPECT_EQ(ir::print(*p, plan->bytes), "128*ceildiv(n, 16)");
  EXPECT_EQ(ir::print(*p, named("a").offset), "0");
  EXPECT_EQ(ir::print(*p, named("b").offset), "64*ceildiv(n, 16)");
  EXPECT_EQ(ir::print(*p, named("c").offset), "0");
  EXPECT_EQ(named("a").group, named("c").group);
  EXPECT_NE(named("a").group, named("b").group);
}

TEST(Lower, memory_of_disjoint_scopes_is_shared) {
  const ir::Program p = program_of(R"(
  alloc t: f32[i in 0 .. m, j in 0 .. n] in dram
  for t.i in 0 .. m {
    for t.j in 0 .. n {
      at t(i = i, j = j) { t[i, j] = x[i, j] }
    }
  }
  for y.i in 0 .. m {
    for y.j in 0 .. n {
      at y(i = i, j = j) { y[i, j] = t[i, j] }
    }
  }
)");
  Result<MemoryPlan> plan = plan_memory(p);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(ir::print(p, plan->bytes), "64*ceildiv(m*n, 16)");
}

}  // namespace
}  // namespace heddle::host
