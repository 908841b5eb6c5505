// Programs from their text: everything that ir/print.h prints reads back to a program that is equal up to names.
#pragma once

#include "frontend/ast.h"
#include "frontend/module.h"
#include "ir/program.h"
#include "support/result.h"

namespace heddle::frontend {

/// The program of a syntax tree; user reducers and instructions that it names come from `context`, the module of the
/// same text. What breaks an invariant of programs (ir/verify.h) is refused.
Result<ir::Program> read_program(const ast::ProgramItem& item, const Module& context);

/// The only program of a text, which may hold reducers and instructions before it.
Result<ir::Program> read_program(const SourceRef& source);

}  // namespace heddle::frontend
