// Walking and rewriting trees. Rewrites keep sharing: a node whose parts did not change is returned as it is.
#pragma once

#include <functional>
#include <unordered_map>

#include "ir/program.h"

namespace heddle::ir {

/// Calls `f` on every node of an expression, parents first; `f` returns false to skip the parts of a node.
void walk(const Expr& e, const std::function<bool(const Expr&)>& f);

/// Rewrites bottom-up: `f` gets each node with its parts already rewritten and returns its replacement (or the node itself).
Expr rewrite(const Expr& e, const std::function<Expr(const Expr&)>& f);

using Substitution = std::vector<std::pair<SymbolId, Expr>>;
/// All symbols replaced at once; index arithmetic folds on the way.
Expr substitute(const Expr& e, const Substitution& map);

std::vector<Expr> substitute(const std::vector<Expr>& list, const Substitution& map);
/// The axes of the leaf's stage as its loops give them.
Substitution point_of(const Program& program, const Leaf& leaf);

bool mentions(const Expr& e, SymbolId symbol);
/// Whether it reads an array.
bool mentions_load(const Expr& e);
/// Whether it speaks of a loop: what a leaf's body, written in axes, must not.
bool mentions_loops(const Program& program, const Expr& e);
bool mentions(const StmtRef& s, SymbolId symbol);

/// The parts of a statement: rebuilds it with every expression mapped by `f` (bounds, windows, bindings, predicates, bodies of
/// leaves, ...), nested statements included.
StmtRef map_exprs(const StmtRef& s, const std::function<Expr(const Expr&)>& f);
/// As above, but leaves' assigns (written in stage axes, not loops) stay as they are: what a loop substitution needs.
StmtRef map_loop_exprs(const StmtRef& s, const std::function<Expr(const Expr&)>& f);
StmtRef substitute_loops(const StmtRef& s, const Substitution& map);

/// Rebuilds nested bodies: `f` gets each statement, children already rewritten, and returns what stands in its place
/// (nothing, one, or several statements).
Body rewrite_body(const Body& body, const std::function<Body(const StmtRef&)>& f);

/// Calls `f` on every statement, parents first; `f` returns false to skip the children.
void walk(const Body& body, const std::function<bool(const StmtRef&)>& f);

/// The statements nested directly in `s` (empty for those without a body).
const Body& children(const StmtRef& s);
StmtRef with_children(const StmtRef& s, Body body);

/// The chain of statements from the outermost down to (and with) the first one for which `f` holds; empty when none.
std::vector<StmtRef> path_to(const Body& body, const std::function<bool(const StmtRef&)>& f);

}  // namespace heddle::ir
