// When a step is legal, in one place. Each question is answered with yes or with the diagnostic that says why not.
#pragma once

#include "ir/region.h"
#include "schedule/step.h"
#include "schedule/tree.h"

namespace heddle::schedule {

/// The loop is serial and no check on data: steps that rewrite or mark a loop take no other.
Result<Done> can_rewrite(const Step& step, const Path& loop);

/// The statement is no loop that stands for the condition of a case (`specialize`): those keep their place.
Result<Done> can_move(const Step& step, const ir::StmtRef& loop);

/// Iterations may run at the same time: no reduce, scan or scatter axis is bound to the loop unless its region opens
/// inside; no two iterations touch a cell of an outer buffer that one of them writes.
/// A read and a write of one buffer meet at no two points of the loops: in one dim both stand still, and apart. In a scan one reads
/// the step before the one that it writes.
bool steps_apart(const ir::Access& read, const ir::Access& write, const std::vector<ir::SymbolId>& loops,
                 const ir::Facts& at);
/// Marks the loops of which two iterations touch no common cell by this read and this write: in some dim both stand at one index,
/// which such a loop moves past all that the others span. In a scan each row may depend on itself alone.
void keep_apart(const ir::Access& read, const ir::Access& write, const std::vector<ir::For>& loops, const ir::Facts& at,
                std::vector<bool>& apart);
Result<Done> can_run_at_once(const Step& step, const Path& loop);
/// Of a loop that has been marked: no two iterations touch a cell of an outer buffer that one of them writes.
Result<Done> touches_apart(const Step& step, const Path& loop);
Result<Done> can_parallel(const Step& step, const Path& loop);
/// As above; the body holds leaves only, and the extent is a constant within the limit.
Result<Done> can_vectorize(const Step& step, const Path& loop);

/// Iterations may run again, in any number: all below is pure, no reduction is open around the loop into which it
/// combines, and nothing below reads what other iterations write.
Result<Done> can_repeat(const Step& step, const Path& loop);

/// Exchanging iterations of reductions: the reducer of the region commutes where `commutes` is asked for, and is exact
/// on its type, or the header allows `reassociate`. Records what was relied on; `reassociated` tells whether leave was
/// used.
Result<bool> can_reassociate(Step& step, const ir::Reduce& region, bool commutes, const std::string& what);

/// The window that a region must fill so that every cell its leaves combine into starts from the identity: the box over
/// all loops inside the region, predicates ignored. `at`: the facts around the region.
Result<std::vector<ir::Window>> region_windows(const Step& step, const ir::Reduce& region, const ir::Facts& at);

/// No cell lies in the windows of two different iterations of the loops. `outside` runs from the outermost loop.
bool disjoint_over(const ir::Window& window, const std::vector<ir::For>& outside, const ir::Facts& facts);

/// Each cell of the region gets each of its terms once: leaves that may run a point twice reach it at one iteration of
/// the map loops inside only. `region` is the path to it.
Result<Done> combines_once(const Step& step, const Path& region);

/// Whether one run of the region gives every cell of the window that its buffer has all terms again: then no other run
/// that has the cell too is lost.
bool fills_window(const Step& step, const Path& region, const ir::Window& window);

/// The region's windows do not meet between iterations of the loops around it, down from the alloc of each buffer, or
/// each run computes its window whole.
Result<Done> windows_apart(const Step& step, const Path& region);

}  // namespace heddle::schedule
