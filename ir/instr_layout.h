// Whether a window lies in memory as an instruction needs it: what `replace` refuses, and what machine code relies on.
#pragma once

#include <optional>

#include "ir/program.h"

namespace heddle::ir {

/// The window's elements lie beside each other as the layout of operand `o` says; without one, those of its last dim do. The
/// strides of parameters are the caller's: nothing is known of them.
bool lies_as(const Program& program, const Window& window, const Instr& instr, size_t o);
/// How many elements the rows of a window, along its first dim, lie apart in a buffer with a layout; nothing where that differs.
std::optional<int64_t> rows_apart(const Program& program, const Window& window, const Instr& instr, size_t o);

// Tile registers: 8 of 16 rows of 64 bytes. A row is the last dim of a box, or the last two parts of its layout (`j, k%2`) where
// one is less than a row; rows are the dim or part before; what stands outside of them is more tiles.
inline constexpr int64_t tile_registers = 8, tile_rows = 16, tile_row_bytes = 64;

/// How many tiles a box fills; nothing where an extent is not constant.
std::optional<int64_t> tile_count(const Buffer& buffer);
/// Which of the buffer's tiles a window begins with, over loops; nothing where it does not begin a tile.
Expr tile_of(const Program& program, const Window& window);

}  // namespace heddle::ir
