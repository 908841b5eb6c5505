#include "backend/host/instr_rows.h"

#include "ir/instr_layout.h"
#include "ir/print.h"
#include "ir/prove.h"

namespace heddle::host {

namespace {

using enum InstrRow::Kind;

constexpr InstrRow rows[] = {
    {"vnni_dot_512",
     "instr vnni_dot_512(inout c: i32[m <= 1, n <= 16] in registers, a: u8[m, k <= 4] in dram, b: i8[k, n] in dram "
     "layout(k, j) -> (j, k)) numerics exact {\n  c[i, j] sum= i32(a[i, p]) * i32(b[p, j])\n}\n",
     &ir::Target::has_vnni,
     dot,
     {{1, 16}, {1, 4}, {4, 16}},
     "llvm.x86.avx512.vpdpbusd.512"},
    {"vnni_dot_256",
     "instr vnni_dot_256(inout c: i32[m <= 1, n <= 8] in registers, a: u8[m, k <= 4] in dram, b: i8[k, n] in dram "
     "layout(k, j) -> (j, k)) numerics exact {\n  c[i, j] sum= i32(a[i, p]) * i32(b[p, j])\n}\n",
     &ir::Target::has_vnni,
     dot,
     {{1, 8}, {1, 4}, {4, 8}},
     "llvm.x86.avx512.vpdpbusd.256"},
    {"bf16_dot_512",
     "instr bf16_dot_512(inout c: f32[m <= 1, n <= 16] in registers, a: bf16[m, k <= 2] in dram, b: bf16[k, n] in dram "
     "layout(k, j) -> (j, k)) numerics reassociates, flushes_denormals {\n  c[i, j] sum= f32(a[i, p]) * f32(b[p, "
     "j])\n}\n",
     &ir::Target::has_bf16,
     dot,
     {{1, 16}, {1, 2}, {2, 16}},
     "llvm.x86.avx512bf16.dpbf16ps.512"},
    {"bf16_dot_256",
     "instr bf16_dot_256(inout c: f32[m <= 1, n <= 8] in registers, a: bf16[m, k <= 2] in dram, b: bf16[k, n] in dram "
     "layout(k, j) -> (j, k)) numerics reassociates, flushes_denormals {\n  c[i, j] sum= f32(a[i, p]) * f32(b[p, "
     "j])\n}\n",
     &ir::Target::has_bf16,
     dot,
     {{1, 8}, {1, 2}, {2, 8}},
     "llvm.x86.avx512bf16.dpbf16ps.256"},
    {"bf16_dot_nt_512",
     "instr bf16_dot_nt_512(inout c: f32[m <= 1, n <= 16] in registers, a: bf16[m, k <= 2] in dram, b: bf16[n, k] in "
     "dram layout(j, k) -> (j, k)) numerics reassociates, flushes_denormals {\n  c[i, j] sum= f32(a[i, p]) * f32(b[j, "
     "p])\n}\n",
     &ir::Target::has_bf16,
     dot,
     {{1, 16}, {1, 2}, {16, 2}},
     "llvm.x86.avx512bf16.dpbf16ps.512"},
    {"bf16_dot_tn_512",
     "instr bf16_dot_tn_512(inout c: f32[m <= 1, n <= 16] in registers, a: bf16[k <= 2, m] in dram layout(k, i) -> (i, "
     "k), b: bf16[k, n] in dram layout(k, j) -> (j, k)) numerics reassociates, flushes_denormals {\n  c[i, j] sum= "
     "f32(a[p, i]) * f32(b[p, j])\n}\n",
     &ir::Target::has_bf16,
     dot,
     {{1, 16}, {2, 1}, {2, 16}},
     "llvm.x86.avx512bf16.dpbf16ps.512"},
    {"bf16_dot_tt_512",
     "instr bf16_dot_tt_512(inout c: f32[m <= 1, n <= 16] in registers, a: bf16[k <= 2, m] in dram layout(k, i) -> (i, "
     "k), b: bf16[n, k] in dram layout(j, k) -> (j, k)) numerics reassociates, flushes_denormals {\n  c[i, j] sum= "
     "f32(a[p, i]) * f32(b[j, p])\n}\n",
     &ir::Target::has_bf16,
     dot,
     {{1, 16}, {2, 1}, {16, 2}},
     "llvm.x86.avx512bf16.dpbf16ps.512"},
    {"vnni_sum_512",
     "instr vnni_sum_512(inout c: i32[n <= 16] in registers, b: i8[k <= 4, n] in dram layout(k, j) -> (j, k)) "
     "numerics exact {\n  c[j] sum= 128 * i32(b[p, j])\n}\n",
     &ir::Target::has_vnni,
     sum,
     {{16}, {4, 16}},
     "llvm.x86.avx512.vpdpbusd.512"},
    {"interleave_4",
     "instr interleave_4(inout y: i8[k <= 4, n <= 16] in dram layout(k, j) -> (j, k), x: i8[k, n] in dram) numerics "
     "exact {\n  y[p, j] = x[p, j]\n}\n",
     &ir::Target::has_masks,
     interleave,
     {{4, 16}, {4, 16}}},
    {"interleave_2",
     "instr interleave_2(inout y: bf16[k <= 2, n <= 16] in dram layout(k, j) -> (j, k), x: bf16[k, n] in dram) "
     "numerics exact {\n  y[p, j] = x[p, j]\n}\n",
     &ir::Target::has_masks,
     interleave,
     {{2, 16}, {2, 16}}},
    {"turn_2",
     "instr turn_2(inout y: bf16[n <= 16, k <= 32] in dram layout(j, k) -> (k/2, j, k%2), x: bf16[n, k] in dram) "
     "numerics "
     "exact {\n  y[j, p] = x[j, p]\n}\n",
     &ir::Target::has_masks,
     turn,
     {{16, 32}, {16, 32}}},
    {"turn_columns",
     "instr turn_columns(inout y: bf16[k <= 32, n <= 16] in dram layout(k, j) -> (j, k), x: bf16[k, n] in dram) "
     "numerics exact {\n  y[p, j] = x[p, j]\n}\n",
     &ir::Target::has_masks,
     turn_columns,
     {{32, 16}, {32, 16}}},
    {"amx_dot_bf16",
     "instr amx_dot_bf16(inout c: f32[m <= 16, n <= 16] in tile, a: bf16[m, k <= 32] in tile, b: bf16[k, n] in tile "
     "layout(k, j) -> (k/2, j, k%2)) numerics reassociates, flushes_denormals {\n  c[i, j] sum= f32(a[i, p]) * "
     "f32(b[p, j])\n}\n",
     &ir::Target::has_amx,
     tile_dot,
     {{16, 16}, {16, 32}, {32, 16}},
     "llvm.x86.tdpbf16ps"},
    {"amx_dot_nt_bf16",
     "instr amx_dot_nt_bf16(inout c: f32[m <= 16, n <= 16] in tile, a: bf16[m, k <= 32] in tile, b: bf16[n, k] in tile "
     "layout(j, k) -> (k/2, j, k%2)) numerics reassociates, flushes_denormals {\n  c[i, j] sum= f32(a[i, p]) * "
     "f32(b[j, p])\n}\n",
     &ir::Target::has_amx,
     tile_dot,
     {{16, 16}, {16, 32}, {16, 32}},
     "llvm.x86.tdpbf16ps"},
    {"amx_dot_tn_bf16",
     "instr amx_dot_tn_bf16(inout c: f32[m <= 16, n <= 16] in tile, a: bf16[k <= 32, m] in tile layout(k, i) -> (i, "
     "k), b: bf16[k, n] in tile layout(k, j) -> (k/2, j, k%2)) numerics reassociates, flushes_denormals {\n  c[i, j] "
     "sum= f32(a[p, i]) * f32(b[p, j])\n}\n",
     &ir::Target::has_amx,
     tile_dot,
     {{16, 16}, {32, 16}, {32, 16}},
     "llvm.x86.tdpbf16ps"},
    {"amx_dot_tt_bf16",
     "instr amx_dot_tt_bf16(inout c: f32[m <= 16, n <= 16] in tile, a: bf16[k <= 32, m] in tile layout(k, i) -> (i, "
     "k), b: bf16[n, k] in tile layout(j, k) -> (k/2, j, k%2)) numerics reassociates, flushes_denormals {\n  c[i, j] "
     "sum= f32(a[p, i]) * f32(b[j, p])\n}\n",
     &ir::Target::has_amx,
     tile_dot,
     {{16, 16}, {32, 16}, {16, 32}},
     "llvm.x86.tdpbf16ps"},
    {"amx_dot_i8",
     "instr amx_dot_i8(inout c: i32[m <= 16, n <= 16] in tile, a: i8[m, k <= 64] in tile, b: i8[k, n] in tile "
     "layout(k, j) -> (k/4, j, k%4)) numerics exact {\n  c[i, j] sum= i32(a[i, p]) * i32(b[p, j])\n}\n",
     &ir::Target::has_amx,
     tile_dot,
     {{16, 16}, {16, 64}, {64, 16}},
     "llvm.x86.tdpbssd"},
    {"amx_dot_u8",
     "instr amx_dot_u8(inout c: i32[m <= 16, n <= 16] in tile, a: u8[m, k <= 64] in tile, b: i8[k, n] in tile "
     "layout(k, j) -> (k/4, j, k%4)) numerics exact {\n  c[i, j] sum= i32(a[i, p]) * i32(b[p, j])\n}\n",
     &ir::Target::has_amx,
     tile_dot,
     {{16, 16}, {16, 64}, {64, 16}},
     "llvm.x86.tdpbusd"},
    {"amx_load_bf16",
     "instr amx_load_bf16(inout t: bf16[m <= 16, k <= 32] in tile, x: bf16[m, k] in dram) numerics exact {\n  t[i, p] "
     "= x[i, p]\n}\n",
     &ir::Target::has_amx,
     tile_load,
     {{16, 32}, {16, 32}},
     "llvm.x86.tileloadd64"},
    {"amx_load_i8",
     "instr amx_load_i8(inout t: i8[m <= 16, k <= 64] in tile, x: i8[m, k] in dram) numerics exact {\n  t[i, p] = x[i, "
     "p]\n}\n",
     &ir::Target::has_amx,
     tile_load,
     {{16, 64}, {16, 64}},
     "llvm.x86.tileloadd64"},
    {"amx_load_u8",
     "instr amx_load_u8(inout t: u8[m <= 16, k <= 64] in tile, x: u8[m, k] in dram) numerics exact {\n  t[i, p] = x[i, "
     "p]\n}\n",
     &ir::Target::has_amx,
     tile_load,
     {{16, 64}, {16, 64}},
     "llvm.x86.tileloadd64"},
    {"amx_load_pairs",
     "instr amx_load_pairs(inout t: bf16[k <= 32, n <= 16] in tile layout(k, j) -> (k/2, j, k%2), x: bf16[k, n] in "
     "dram layout(k, j) -> (k/2, j, k%2)) numerics exact {\n  t[p, j] = x[p, j]\n}\n",
     &ir::Target::has_amx,
     tile_load,
     {{32, 16}, {32, 16}},
     "llvm.x86.tileloadd64"},
    {"amx_load_turned",
     "instr amx_load_turned(inout t: bf16[n <= 16, k <= 32] in tile layout(j, k) -> (k/2, j, k%2), x: bf16[n, k] in "
     "dram layout(j, k) -> (k/2, j, k%2)) numerics exact {\n  t[j, p] = x[j, p]\n}\n",
     &ir::Target::has_amx,
     tile_load,
     {{16, 32}, {16, 32}},
     "llvm.x86.tileloadd64"},
    {"amx_load_columns",
     "instr amx_load_columns(inout t: bf16[k <= 32, m <= 16] in tile layout(k, i) -> (i, k), x: bf16[k, m] in dram "
     "layout(k, i) -> (i, k)) numerics exact {\n  t[p, i] = x[p, i]\n}\n",
     &ir::Target::has_amx,
     tile_load,
     {{32, 16}, {32, 16}},
     "llvm.x86.tileloadd64"},
    {"amx_load_fours",
     "instr amx_load_fours(inout t: i8[k <= 64, n <= 16] in tile layout(k, j) -> (k/4, j, k%4), x: i8[k, n] in dram "
     "layout(k, j) -> (k/4, j, k%4)) numerics exact {\n  t[p, j] = x[p, j]\n}\n",
     &ir::Target::has_amx,
     tile_load,
     {{64, 16}, {64, 16}},
     "llvm.x86.tileloadd64"},
    {"amx_store_f32",
     "instr amx_store_f32(inout y: f32[m <= 16, n <= 16] in dram, t: f32[m, n] in tile) numerics exact {\n  y[i, j] = "
     "t[i, j]\n}\n",
     &ir::Target::has_amx,
     tile_store,
     {{16, 16}, {16, 16}},
     "llvm.x86.tilestored64"},
    {"amx_store_i32",
     "instr amx_store_i32(inout y: i32[m <= 16, n <= 16] in dram, t: i32[m, n] in tile) numerics exact {\n  y[i, j] = "
     "t[i, j]\n}\n",
     &ir::Target::has_amx,
     tile_store,
     {{16, 16}, {16, 16}},
     "llvm.x86.tilestored64"},
};

bool whole(const ir::Window& w, const int (&extents)[2]) {
  const std::vector<size_t> dims = ir::operand_dims(w);
  for (size_t k = 0; k < dims.size(); ++k)
    if (!ir::is_constant(ir::simplify(w.ranges[dims[k]].hi - w.ranges[dims[k]].lo), extents[k])) return false;
  return true;
}

}  // namespace

std::span<const InstrRow> instr_rows() { return rows; }

const InstrRow* spelled(const ir::Program& program, const ir::Instr& instr, const ir::Target& target) {
  for (const InstrRow& row : rows)
    if (instr.name == row.name && target.*row.feature && ir::print_instr(instr, program) == row.meaning) return &row;
  return nullptr;
}

bool is_machine_code(const ir::Program& program, const ir::Call& call, const ir::Target& target) {
  const ir::Instr& instr = *program.instr(call.instr);
  const InstrRow* row = spelled(program, instr, target);
  if (!row) return false;
  for (size_t o = 0; o < call.windows.size(); ++o) {
    const ir::Window& w = call.windows[o];
    const ir::Buffer& b = program.buffer(w.buffer);
    // What is packed may lie in any way.
    if (row->packs() && o == 1) return !(w.buffer == call.windows[0].buffer);
    // Arrays: as they were packed before the call; and the group that each lane multiplies by from anywhere.
    const bool array = b.role == ir::Role::in && o > 0 && (b.layout || (row->kind == dot && o == 1));
    if ((b.role != ir::Role::temporary && !array) || !ir::lies_as(program, w, instr, o)) return false;
    if (row->packs()) continue;
    if (!whole(w, row->extents[o])) return false;
    // The rows of a tile are equally far apart in memory.
    const bool memory = row->in_tiles() && instr.operands[o].memory != ir::Memory::tile;
    if (memory && b.layout && !instr.operands[o].layout && !ir::rows_apart(program, w, instr, o)) return false;
    if (row->in_tiles() && !memory && b.memory != ir::Memory::tile) return false;
  }
  return true;
}

bool lacks_instr(const std::string& name, const ir::Target& target) {
  for (const InstrRow& row : rows)
    if (name == row.name) return !(target.*row.feature);
  return false;
}

}  // namespace heddle::host
