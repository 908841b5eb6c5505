// From ANTLR's parse tree to the syntax tree. Reports what the grammar leaves open: chained comparisons, reductions inside
// expressions, words that are none of the known ones.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "frontend/ast.h"
#include "support/diagnostic.h"

namespace antlr4 {
class ParserRuleContext;
}

namespace heddle::frontend {

struct TreeInput {
  SourceRef source;
  const std::map<uint32_t, std::string>& docs;  ///< by the first byte of the item
  Diagnostics& errors;
};

/// Of a `fullModule`, `onlyExpr`, `onlyLines` context. Parts that did not parse are left out.
ast::Module build_module(antlr4::ParserRuleContext* tree, const TreeInput& input);
ast::ExprRef build_expr(antlr4::ParserRuleContext* tree, const TreeInput& input);
std::vector<ast::Line> build_lines(antlr4::ParserRuleContext* tree, const TreeInput& input);

}  // namespace heddle::frontend
