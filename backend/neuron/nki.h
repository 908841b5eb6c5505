// An NKI kernel as a tree: what is checked, counted and printed. Nothing of the op's own language is left in it but names.
//
// Tiles are the arrays of the text: parameters and results in HBM, 2-D tiles in SBUF and PSUM (partition, free), or lists of such. Views
// are slices whose starts and counts are index expressions over the loops around; all dims are constants, so every view can be evaluated.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ir/program.h"

namespace heddle::neuron {

using ir::Expr;
using ir::SymbolId;

enum class Space : uint8_t { input, output, hbm, sbuf, psum };

struct Tile {
  std::string name;
  ir::ScalarType type = ir::ScalarType::f32;  ///< as NKI has it: 64-bit integers are passed as 32-bit ones
  Space space = Space::sbuf;
  std::vector<int64_t> shape;
  int64_t list = 0;  ///< a list of so many tiles, each with memory of its own; 0: one tile
  std::string role;  ///< "`acc`", "a part of `y`": for messages
  Place place;       ///< the equation that it belongs to
};
using TileId = uint32_t;

struct Slice {
  Expr start, count;
  int64_t step = 1;
  bool point = false;  ///< an index: the axis is dropped (HBM only)
};
struct View {
  TileId tile = UINT32_MAX;
  std::vector<Slice> axes;
  Expr which = {};  ///< of a list: the tile meant
};
bool same(const View& a, const View& b);

/// What slices of an array in HBM cannot say: `.ap(pattern=..)` of the array, or of the array as a matrix of `columns` columns. `rows`, a column
/// of integers, picks the row of each partition; `loop`, the number of a loop on the device, moves on by that many rows.
struct Pattern {
  TileId tile = UINT32_MAX;
  int64_t columns = 1;
  std::vector<std::pair<int64_t, Expr>> dims;  ///< [step, size]
  Expr offset;
  std::optional<View> rows = {};
  SymbolId loop = {};
};

/// A keyword argument: a view, a pattern, or text (an enum, a number, an expression of run-time scalars). `@3@` stands for the fourth of the kernel's
/// `index_texts`, an index that is used as a number.
struct Argument {
  std::string keyword;
  std::variant<View, std::string, Pattern> value;
};
struct Instruction {
  std::string name;  ///< "dma_copy"
  std::vector<Argument> arguments;
};

struct Node;
using Block = std::vector<Node>;
struct Loop {
  SymbolId symbol;
  Expr lo, hi;
  Block body;
  bool to_device = false;   ///< the schedule asks for it
  int64_t device_step = 0;  ///< runs on the device: `nl.fori_loop`, its number goes up by this; 0: Python unrolls it
};
/// A name for a count that depends on loops: `n = min(128, 1000 - 128*ro)`.
struct Let {
  SymbolId symbol;
  Expr value;
};
/// `acc = nl.ndarray(..)`, or a list of such: from here on fresh memory.
struct Make {
  TileId tile;
};
struct Remark {
  std::string text;
};
struct Node {
  std::variant<Loop, Let, Make, Remark, Instruction> form;
  Place place;  ///< the equation that it comes from
};

/// A constant array that the kernel takes after its inputs.
struct Table {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> data;
};

struct NkiKernel {
  ir::Program program;  ///< symbols: those of the program, then loops and lets of the text
  std::string name;
  std::vector<TileId> inputs, outputs;
  std::vector<std::string> scalars;  ///< run-time scalars, in order
  std::vector<Tile> tiles;
  std::vector<Table> tables;
  std::vector<TileId> table_tiles;
  std::vector<std::string> header;  ///< comment lines
  std::vector<Expr> index_texts;
  Block body;
};

/// "float32", as in nl.float32; empty for a type that NKI lacks.
std::string_view type_name(ir::ScalarType type);
int64_t type_bytes(ir::ScalarType type);

}  // namespace heddle::neuron
