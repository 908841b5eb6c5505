// Finding and replacing statements, and the questions about a place in the tree that several steps ask.
#pragma once

#include <functional>

#include "ir/program.h"
#include "ir/prove.h"
#include "ir/visit.h"

namespace heddle::schedule {

/// A statement with the statements around it, outermost first; the last is the statement itself.
using Path = std::vector<ir::StmtRef>;

/// Calls `f` with the path of every statement, parents first.
void walk_paths(const ir::Body& body, const std::function<void(const Path&)>& f);

/// The path to the loop, to the statement, to the alloc of the buffer; empty when there is none.
Path path_to_loop(const ir::Program& program, ir::SymbolId loop);
Path path_to_stmt(const ir::Program& program, const ir::StmtRef& stmt);
Path path_to_alloc(const ir::Program& program, ir::BufferId buffer);

template <class T>
const T* as(const ir::StmtRef& s) {
  return std::get_if<T>(&s->form);
}
inline const ir::For& loop_of(const Path& path) { return std::get<ir::For>(path.back()->form); }

/// `0 .. if c then 1 else 0`: the loop that a special case stands in.
bool is_case_loop(const ir::For& loop);
/// Of two such loops one runs: `0 .. if c then 1 else 0` and `0 .. if c then 0 else 1`.
bool other_case(const ir::For& a, const ir::For& b);

/// `y.ro` as printed.
std::string loop_name(const ir::Program& program, ir::SymbolId loop);
/// `st.m` or `acc`.
std::string buffer_name(const ir::Program& program, ir::BufferId buffer);

/// Puts `with` in the place of one statement.
void replace(ir::Program& program, const ir::StmtRef& old, const ir::Body& with);
/// Puts `what` before a statement.
void insert_before(ir::Program& program, const ir::StmtRef& place, ir::Body what);

/// The leaves of a body with their paths (from the body down).
struct LeafSite {
  Path path;
  const ir::Leaf& leaf() const { return std::get<ir::Leaf>(path.back()->form); }
};
std::vector<LeafSite> leaves(const ir::Body& body);
std::vector<LeafSite> leaves_of(const ir::Program& program, ir::StageId stage);

/// The index in `path` of the reduce region that the leaf at its end combines into, or -1.
int region_of(const Path& path);

/// Whether an axis of the leaf that is no map axis (reduce, scan, scatter) is bound to the loop.
bool runs_a_reduction(const ir::Program& program, const ir::Leaf& leaf, ir::SymbolId loop);
/// Whether the loop, in the path of a leaf, carries the leaf's reduction: it is bound to a reduce axis and inside the
/// region.
bool carries_reduction(const ir::Program& program, const Path& leaf_path, ir::SymbolId loop);

/// Nodes of the tree, shared ones counted each time they are met: what printing would show. Counting ends a little past
/// limits::program_nodes.
int64_t size_of(const ir::Program& program);
int64_t size_of(const ir::Expr& e);

}  // namespace heddle::schedule
