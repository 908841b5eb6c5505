// The spelling of instructions: one row for each that has machine code, of the same name as its row in stdlib/machine.
#pragma once

#include <span>

#include "ir/program.h"
#include "ir/target.h"

namespace heddle::host {

struct InstrRow {
  enum class Kind : uint8_t {
    dot,           ///< c[1, n] sum= a[1, k] * b[k, n] in vectors; a, b or both may be named the other way round
    sum,           ///< c[n] sum= 128 * b[k, n] in vectors
    interleave,    ///< y[k, n] = x[k, n], columns' k elements beside each other; any window
    turn_columns,  ///< y[k, n] = x[k, n], whose columns become rows; any window
    turn,          ///< y[n, k] = x[n, k], words of each row's elements beside those of the other rows; any window
    tile_dot,      ///< c[m, n] sum= a[m, k] * b[k, n] in tiles
    tile_load,     ///< t[..] = x[..], rows of x any distance apart
    tile_store     ///< y[..] = t[..]
  };
  const char* name;
  const char* meaning;         ///< as `print_instr` gives it: another meaning under the name is not this one
  bool ir::Target::* feature;  ///< without it the instruction runs as what it means
  Kind kind = Kind::dot;
  int extents[3][2] = {};      ///< of each operand's dims, in a whole window
  const char* intrinsic = "";  ///< of LLVM

  /// Of a dot product, a sum or an interleaving: columns, and how many elements of each meet in a lane.
  int lanes() const { return kind == Kind::dot ? extents[0][1] : extents[1][1]; }
  int group() const { return kind == Kind::dot ? extents[1][0] * extents[1][1] : extents[1][0]; }
  bool packs() const { return kind == Kind::interleave || kind == Kind::turn || kind == Kind::turn_columns; }
  bool in_tiles() const { return kind >= Kind::tile_dot; }
  size_t operands() const { return kind == Kind::dot || kind == Kind::tile_dot ? 3 : 2; }
  bool accumulates() const { return kind == Kind::dot || kind == Kind::sum || kind == Kind::tile_dot; }
  /// Whether the dim of an operand is summed over, or of what is loaded will be.
  bool summed(size_t operand, size_t dim) const {
    if (kind == Kind::sum) return operand == 1 && dim == 0;
    if (kind == Kind::tile_load) return operand == 1 && dim == (extents[1][0] == 16 ? 1u : 0u);
    if (kind == Kind::dot) return operand > 0 && extents[operand][dim] == group();
    return kind == Kind::tile_dot && operand > 0 && extents[operand][dim] != 16;
  }
};

std::span<const InstrRow> instr_rows();

/// The row of an instruction that the target has, or null.
const InstrRow* spelled(const ir::Program& program, const ir::Instr& instr, const ir::Target& target);

/// Whether the call is machine code as it stands; of one in tiles, see also tiles.h.
bool is_machine_code(const ir::Program& program, const ir::Call& call, const ir::Target& target);

/// Whether a name is of an instruction that the target lacks; false for names without a row.
bool lacks_instr(const std::string& name, const ir::Target& target);

}  // namespace heddle::host
