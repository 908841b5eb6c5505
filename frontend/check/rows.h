// Reducers and instructions of a text as rows of a program: their names become symbols of its table.
#pragma once

#include <functional>
#include <map>

#include "frontend/ast.h"
#include "ir/program.h"
#include "support/result.h"

namespace heddle::frontend {

/// The extent that a name in a field's shape stands for (`d` of `o: f32[d]`); none when there is none.
using ExtentOf = std::function<ir::Expr(const std::string&)>;

/// What the generic types of a reducer stand for.
using TypeChoice = std::map<std::string, ir::ScalarType>;

/// The row of a user reducer, its field axes and locals added to `program.symbols`; not yet in `program.reducers`.
Result<ir::Reducer> reducer_row(const ast::ReducerItem& item, ir::Program& program, const ExtentOf& extent_of,
                                const TypeChoice& types = {});

/// The row of an instruction, its dims and axes added to `program.symbols`; not yet in `program.instrs`.
Result<ir::Instr> instr_row(const ast::InstrItem& item, ir::Program& program);

/// `layout(k, j) -> (k/2, j, k%2)` over new locals of the program.
Result<ir::Layout> layout_row(const ast::LayoutMap& map, ir::Program& program);

}  // namespace heddle::frontend
