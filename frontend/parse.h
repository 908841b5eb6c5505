// Text to syntax tree: UTF-8, limits, line ends and brackets are checked on the token stream, then the grammar of grammar/*.g4.
//
// Nothing here knows a step, an op or a type. Calls from several threads are safe; they take turns, because the ANTLR
// runtime shares locks between all parsers.
#pragma once

#include <vector>

#include "frontend/ast.h"
#include "support/result.h"

namespace heddle::frontend {

/// A module: ops, reducers, schedules, derived steps, instructions, programs. A text without any item is refused.
Result<ast::Module> parse(const SourceRef& source);

/// One expression, such as a bound, a dim or a fact.
Result<ast::ExprRef> parse_expression(const SourceRef& source);

/// Only schedules and derived steps: text that extends a module.
Result<ast::Module> parse_schedules(const SourceRef& source);

/// The lines of a schedule without its header: `split y.r by 4 into ro, ri`.
Result<std::vector<ast::Line>> parse_lines(const SourceRef& source);

}  // namespace heddle::frontend
