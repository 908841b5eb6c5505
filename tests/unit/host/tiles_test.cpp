// Code for AMX, which few machines can run: the text of the machine code says which tiles it uses and in which order.
#include <gtest/gtest.h>

#include <regex>
#include <sstream>

#include "backend/host/codegen.h"
#include "backend/host/target.h"
#include "frontend/program_text.h"
#include "ir/verify.h"

namespace heddle::host {
namespace {

// c[32, 32] = a[32, k] b[k, 32]: four tiles of sums, two of A, two of B. `load_a` stands where A is loaded.
std::string product(const std::string& load_a) {
  return R"(instr amx_dot_bf16(inout c: f32[m <= 16, n <= 16] in tile, a: bf16[m, k <= 32] in tile, b: bf16[k, n] in tile layout(k, j) -> (k/2, j, k%2)) numerics reassociates, flushes_denormals {
  c[i, j] sum= f32(a[i, p]) * f32(b[p, j])
}
instr amx_load_bf16(inout t: bf16[m <= 16, k <= 32] in tile, x: bf16[m, k] in dram) numerics exact {
  t[i, p] = x[i, p]
}
instr amx_load_pairs(inout t: bf16[k <= 32, n <= 16] in tile layout(k, j) -> (k/2, j, k%2), x: bf16[k, n] in dram layout(k, j) -> (k/2, j, k%2)) numerics exact {
  t[p, j] = x[p, j]
}
instr amx_store_f32(inout y: f32[m <= 16, n <= 16] in dram, t: f32[m, n] in tile) numerics exact {
  y[i, j] = t[i, j]
}
program product(in a: bf16[m, k] in dram, in b: bf16[k, n] in dram, out c: f32[m, n] in dram) allow reassociate, flush_denormals facts (m == 32, k >= 0, n == 32) {
  stage ap(map i in 0 .. m, map p in 0 .. k)
  stage bp(map p in 0 .. k, map j in 0 .. n)
  stage ta(map i in 0 .. m, map p in 0 .. k)
  stage c(map i in 0 .. m, map j in 0 .. n)
  alloc ap: bf16[i in 0 .. 32, p in 0 .. 32*ceildiv(k, 32)] in l2
  for ap.i in 0 .. 32 {
    for ap.p in 0 .. 32*ceildiv(k, 32) {
      at ap(i = i, p = p) { ap[i, p] = a[i, p] or 0.0 }
    }
  }
  alloc bp: bf16[p in 0 .. 32*ceildiv(k, 32), j in 0 .. 32] in l2 layout(p, j) -> (j/16, p/2, j%16, p%2)
  for bp.p in 0 .. 32*ceildiv(k, 32) {
    for bp.j in 0 .. 32 {
      at bp(p = p, j = j) { bp[p, j] = b[p, j] or 0.0 }
    }
  }
  alloc out: f32[i in 0 .. 32, j in 0 .. 32] in l1
  alloc acc: f32[i in 0 .. 32, j in 0 .. 32] in tile
  reduce acc[0 .. 32, 0 .. 32] by sum reassociated {
    for acc.po in 0 .. ceildiv(k, 32) {
      alloc ta: bf16[i in 0 .. 32, p in 32*po .. 32*po + 32] in tile
      alloc tb: bf16[p in 32*po .. 32*po + 32, j in 0 .. 32] in tile layout(p, j) -> (j/16, p/2, j%16, p%2)
      for ta.it in 0 .. 2 unrolled {
        )" +
         load_a + R"(
      }
      for tb.jt in 0 .. 2 unrolled {
        call amx_load_pairs(tb[32*po .. 32*po + 32, 16*jt .. 16*jt + 16], bp[32*po .. 32*po + 32, 16*jt .. 16*jt + 16])
      }
      for acc.it in 0 .. 2 unrolled {
        for acc.jt in 0 .. 2 unrolled {
          call amx_dot_bf16(acc[16*it .. 16*it + 16, 16*jt .. 16*jt + 16], ta[16*it .. 16*it + 16, 32*po .. 32*po + 32], tb[32*po .. 32*po + 32, 16*jt .. 16*jt + 16])
        }
      }
    }
  }
  for out.it in 0 .. 2 unrolled {
    for out.jt in 0 .. 2 unrolled {
      call amx_store_f32(out[16*it .. 16*it + 16, 16*jt .. 16*jt + 16], acc[16*it .. 16*it + 16, 16*jt .. 16*jt + 16])
    }
  }
  for c.i in 0 .. m {
    for c.j in 0 .. n {
      at c(i = i, j = j) { c[i, j] = out[i, j] }
    }
  }
}
)";
}

const std::string loads =
    "call amx_load_bf16(ta[16*it .. 16*it + 16, 32*po .. 32*po + 32], ap[16*it .. 16*it + 16, 32*po .. 32*po + 32])";

std::string assembly_of(const std::string& text) {
  Result<ir::Program> p = frontend::read_program(Source::make("<program>", text));
  EXPECT_TRUE(p.ok()) << (p.ok() ? "" : render(p.errors()));
  if (!p.ok()) return {};
  EXPECT_TRUE(ir::verify(*p).empty()) << render(ir::verify(*p));
  CompileOptions options;
  options.keep_assembly = true;
  Result<ir::Target> target = target_for_emission("cpu/amx");
  Result<Compiled> code = compile(*p, *target, {}, options);
  EXPECT_TRUE(code.ok()) << (code.ok() ? "" : render(code.errors()));
  return code.ok() ? code->assembly : "";
}

// The instructions on tiles with the tiles that they name, in order.
std::vector<std::string> tile_lines(const std::string& assembly) {
  std::vector<std::string> out;
  std::istringstream lines(assembly);
  const std::regex word("\\b(tdp\\w+|tilezero|tileload\\w*|tilestored|ldtilecfg)\\b"), tile("%tmm(\\d)");
  for (std::string line; std::getline(lines, line);) {
    std::smatch found;
    if (!std::regex_search(line, found, word)) continue;
    std::string text = found[1];
    for (auto t = std::sregex_iterator(line.begin(), line.end(), tile); t != std::sregex_iterator(); ++t)
      text += " " + (*t)[1].str();
    out.push_back(text);
  }
  return out;
}

int count(const std::vector<std::string>& lines, const std::string& start) {
  int n = 0;
  for (const std::string& l : lines) n += l.rfind(start, 0) == 0;
  return n;
}

TEST(Tiles, a_product_of_two_by_two_tiles) {
  const std::vector<std::string> lines = tile_lines(assembly_of(product(loads)));
  EXPECT_EQ(count(lines, "ldtilecfg"), 1);
  for (int t : {0, 1, 2, 3}) EXPECT_EQ(count(lines, "tilezero " + std::to_string(t)), 1);
  for (int t : {4, 5, 6, 7}) EXPECT_EQ(count(lines, "tileloadd " + std::to_string(t)), 1);
  for (int t : {0, 1, 2, 3}) EXPECT_EQ(count(lines, "tilestored " + std::to_string(t)), 1);
  // AT&T order: the second factor, the first, the sums.
  for (const char* dot : {"tdpbf16ps 6 4 0", "tdpbf16ps 7 4 1", "tdpbf16ps 6 5 2", "tdpbf16ps 7 5 3"})
    EXPECT_EQ(count(lines, dot), 1) << dot;
  EXPECT_EQ(count(lines, "tdp"), 4);
  EXPECT_EQ(count(lines, "tileload"), 4);  // nothing is spilled and loaded again
}

// One plain leaf that touches a tile, and all of it runs as what it means.
TEST(Tiles, a_leaf_that_writes_tiles) {
  const std::vector<std::string> lines =
      tile_lines(assembly_of(product("for ta.ii in 0 .. 16 { for ta.p in 0 .. 32 { at ta(i = 16*it + ii, p = 32*po + "
                                     "p) { ta[i, p] = ap[i, p] } } }")));
  EXPECT_TRUE(lines.empty());
}

TEST(Tiles, a_machine_without_them) {
  Result<ir::Program> p = frontend::read_program(Source::make("<program>", product(loads)));
  ASSERT_TRUE(p.ok());
  CompileOptions options;
  options.keep_assembly = true;
  Result<Compiled> code = compile(*p, *target_for_emission("cpu/avx512"), {}, options);
  ASSERT_TRUE(code.ok()) << render(code.errors());
  EXPECT_TRUE(tile_lines(code->assembly).empty());
}

}  // namespace
}  // namespace heddle::host
