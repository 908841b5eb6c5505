// The lowering passes: each maps a program to one of the same meaning that is nearer to machine code.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "ir/program.h"
#include "ir/prove.h"
#include "ir/target.h"

namespace heddle::host {

/// before: call dot(c[0 .. 16, j .. j + 16], a[..], b[..])
/// after:  the loops that the lines of the instruction mean, on the windows' cells
/// For instructions that the target has no machine code for, or not for such windows.
ir::Program expand_calls(ir::Program program, const ir::Target& target);

/// before: for r in 0 .. 1 { for i in 0 .. 2 unrolled { call dot(t[r + i, ..], ..) } }
/// after:  for i in 0 .. 2 unrolled { call dot(t[i, ..], ..) }
/// Around calls, as where a tile lies must be a constant, where threads would share the one iteration, and where facts alone say so:
/// `v in 0 .. kw` with `kw == 1`.
ir::Program single_iterations(ir::Program program, const ir::Target& target);

/// As outer_bounds, for loops around calls, while their windows still tell where they end.
ir::Program call_bounds(ir::Program program, const ir::Target& target);

/// before: call vnni_dot_512(c[i .. i + 1, j .. min(j + 16, n) <= 16], a[i .. i + 1, 4*po .. min(4*po + 4, k) <= 4], b[..])
/// after:  call vnni_dot_512(c[i .. i + 1, j .. j + 16], a[i .. i + 1, 4*po .. 4*po + 4], b[..])
/// Windows become whole where nothing can tell: the cells beyond are never read, and what is summed there is zero.
ir::Program fit_calls(ir::Program program, const ir::Target& target);

/// before: for i in 0 .. n pipelined 2 at (0, 0, 1) { alloc t copies 2 ; t = x ; y = f(t) }
/// after:  for i in 0 .. n { alloc t ; t = x ; y = f(t) }
/// A core overlaps iterations by itself.
ir::Program plain_pipelines(ir::Program program);

/// before: reduce s[r] by min { for c in 0 .. n { at s(..) { s[r] min= if odd[r] && x[r, c] < 0 then c else 2147483647 } } }
/// after:  reduce s[r] by min { for c in 0 .. n { at s(..) where odd[r] { s[r] min= if x[r, c] < 0 then c else 2147483647 } } }
/// What would combine with the reducer's identity all along is left out, by a condition that all iterations share.
ir::Program skip_identities(ir::Program program);

/// before: for b in 0 .. n { first = min over x[..]                   at place(b = b) where top[b] == peak { place min= first } }
/// after:  for b in 0 .. n { first = .. only where top[b] == peak     the same }
/// Cells of a temporary that are read under a condition on data alone are not made where it does not hold.
ir::Program skip_unread(ir::Program program);

/// before: for i in 0 .. 4 { at acc(i = 4*io + i) { acc[i] sum= .. } }       acc in registers
/// after:  for i in 0 .. 4 unrolled { .. }
/// Registers have no addresses: a small loop of constant extent that walks over them is written out.
ir::Program unroll_registers(ir::Program program);

/// before: for io in 0 .. 86  { for ii in 0 .. 6 unrolled { at t(i = 516*ib + 6*io + ii) where 516*ib + 6*io + ii < m { .. } } }
/// after:  for io in 0 .. min(86, ceildiv(m - 516*ib, 6)) { the same }
/// Only where every leaf below has such a condition.
ir::Program outer_bounds(ir::Program program);

/// before: for ri in 0 .. 4 { at y(r = 4*ro + ri) where 4*ro + ri < rows { .. } }
/// after:  for ri in 0 .. min(4, rows - 4*ro) { at y(r = 4*ro + ri) { .. } }
/// Only where every leaf below the loop has the conjunct, and the loop is the innermost that it mentions.
/// Small tiles of temporaries are left to drop_guards first; tile_guards_to_bounds takes them too.
ir::Program guards_to_bounds(ir::Program program);
ir::Program tile_guards_to_bounds(ir::Program program);

/// before: alloc b: f32[k in 0 .. k, j in 0 .. n]                  in l2 layout(k, j) -> (j/16, k, j%16)
/// after:  alloc b: f32[k in 0 .. k, j in 0 .. 16*ceildiv(n, 16)]  in l2 layout(k, j) -> (j/16, k, j%16)
/// The cells that a layout adds become cells like others: guards that kept out of them may go.
ir::Program explicit_padding(ir::Program program);

/// Where dim `d` of a buffer ends with the cells that its layout adds; none where that adds none.
std::optional<ir::Expr> padded_end(const ir::Buffer& buffer, size_t d);

/// before: alloc t: f32[r in r .. r + 4]   reduce t[r .. min(r + 4, rows)] by sum { .. }
/// after:  alloc t: f32[r in r .. r + 4]   reduce t[r .. r + 4] by sum { .. }
/// A window that ends with its buffer's box or with the domain ends with the box: the cells between belong to no point.
ir::Program widen_windows(ir::Program program);

/// before: at acc(i = 6*io + ii, ..) where 6*io + ii < m { acc[i, j] sum= a[i, p] * panel[p, j] }
/// after:  at acc(i = 6*io + ii, ..)                     { acc[i, j] sum= a[min(i, m - 1), p] * panel[p, j] }
/// A guard that only keeps a map axis in its range may go where the cells beyond lie in the temporary's own box: what they hold
/// is never read. Reads beyond their buffer take the last element instead; in a vector, 0.
ir::Program drop_guards(ir::Program program);

/// before: for po in 0 .. max(0, ceildiv(k, 8) - 1) { for pi in 0 .. 8 { at acc(p = 8*po + pi) where 8*po + pi < k { .. } } }
/// after:  the same without the guard
/// What the loops around imply needs no guard: the main part of a peeled loop has whole blocks only.
ir::Program known_guards(ir::Program program);

/// before: for w.j in 0 .. t { w[j] = .. }               reduce o by sum { for o.j in 0 .. t { at o(..) where j <= i { o sum= w[j] } } }
/// after:  for w.j in 0 .. min(t, i + 1) { w[j] = .. }   the same
/// A loop that makes cells of a temporary ends where nobody reads them any more.
ir::Program unread_ends(ir::Program program);

/// before: for co in 0 .. ceildiv(n, 16) { for cv in 0 .. 16 vector { at y(c = 16*co + cv) where 16*co + cv < n { .. } } }
/// after:  for co in 0 .. n/16 { the same without the guard }  for co in n/16 .. ceildiv(n, 16) { the same }
/// before: for co in 0 .. ceildiv(n + 1, 16) { for cv in 0 .. 16 vector { at y(c = 16*co + cv) .. { y[c] = x[c - 1] or 0.0 } } }
/// after:  for co in 0 .. 1 { the same }  for co in 1 .. (n + 1)/16 { y[c] = x[c - 1] }  for co in (n + 1)/16 .. ceildiv(n + 1, 16) { the same }
/// Only where the body is small: a vector or a few.
ir::Program partition(ir::Program program);

/// before: for c in 0 .. n                        { at s(c = c) where odd[r] { s[r] min= x[r, c] } }
/// after:  for c in 0 .. (if odd[r] then n else 0) { at s(c = c)             { s[r] min= x[r, c] } }
/// A condition on data that is the same for all of a loop is looked at once.
ir::Program conditions_to_bounds(ir::Program program);

/// before: for jo { for i in 0 .. m { for jv in 0 .. 8 vector { at c(j = 8*jo + jv) where 8*jo + jv < n { .. } } } }
/// after:  for jo { for i in 0 .. (if 8*jo + 7 < n then m else 0) { the same without the guard }
///                  for i in 0 .. (if 8*jo + 7 < n then 0 else m) { the same } }
/// For targets without masks: whether all lanes are there is asked once, outside the outermost serial loop that does not matter for it; of a
/// short loop inside, as that over the panels of a strip, for all of its iterations.
ir::Program unswitch(ir::Program program, const ir::Target& target);

// ---------------------------------------------------------------------------------------------------------------------

/// `left < right` for a comparison of index expressions by < <= > >=; false for others.
bool as_less(const ir::Expr& comparison, ir::Expr& left, ir::Expr& right);
/// The map axis whose upper bound the condition is, at this leaf.
std::optional<size_t> ranged_axis(const ir::Program& program, const ir::Leaf& leaf, const ir::Expr& condition);
/// The constant number of iterations of a loop, or null; `keep` holds what it points to.
const int64_t* constant_extent(const ir::For& loop, ir::Expr& keep);
/// Leaves below, each counted as often as loops that are written out repeat it; vector lanes count once.
int64_t leaf_copies(const ir::Body& body);
/// The body with these conjuncts taken from the conditions of its leaves.
ir::Body without(const ir::Body& body, const std::vector<ir::Expr>& gone);
/// Buffers that the statement allocates, added to `out`.
void add_allocated(const ir::StmtRef& s, std::vector<ir::BufferId>& out);
bool contains(const std::vector<ir::BufferId>& list, ir::BufferId id);
/// The same expression is among them.
bool contains(const std::vector<ir::Expr>& list, const ir::Expr& e);
/// Whether the body writes a buffer that the expression reads.
bool changes(const ir::Program& program, const ir::Body& body, const ir::Expr& e);
/// The constant that combining with changes nothing: of integers, as floats have NaN and a signed zero.
bool is_identity(const ir::Expr& e, ir::BuiltinReducer reducer);
/// Conditions under which a cell is one of the leaf's at all. Where there is a region around, these are the ends of its map axes alone:
/// a cell that all else leaves nothing for holds the identity, which the region stores.
std::vector<ir::Expr> cell_conjuncts(const ir::Program& program, const ir::Leaf& leaf, bool below_region);

}  // namespace heddle::host
