// See passes.h. Only below loops that end at a `max`, as `peel` makes them: what other loops imply has no guard to begin with.
#include "backend/host/passes.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Body;
using ir::Expr;
using ir::StmtRef;

namespace {

bool ends_at_max(const ir::For& loop) {
  const auto* op = loop.hi.as<ir::Binary>();
  return op && op->op == ir::BinaryOp::max;
}

class KnownGuards {
 public:
  explicit KnownGuards(const ir::Program& p) : p_(p) {}

  Body body(const Body& list) {
    Body out;
    for (const StmtRef& s : list) {
      const auto* loop = std::get_if<ir::For>(&s->form);
      const auto* leaf = std::get_if<ir::Leaf>(&s->form);
      const bool peeled = loop && ends_at_max(*loop);
      if (leaf && leaf->predicate.known() && peeled_ > 0) {
        out.push_back(without_known(*leaf, s));
        continue;
      }
      if (loop) loops_.push_back(s);
      if (peeled) ++peeled_;
      const Body& below = ir::children(s);
      out.push_back(below.empty() ? s : ir::with_children(s, body(below)));
      if (peeled) --peeled_;
      if (loop) loops_.pop_back();
    }
    return out;
  }

 private:
  StmtRef without_known(const ir::Leaf& leaf, const StmtRef& s) const {
    const ir::Facts facts = ir::facts_at(p_, loops_);
    std::vector<Expr> left = conjuncts(leaf.predicate);
    const size_t before = left.size();
    std::erase_if(left, [&](const Expr& e) { return ir::prove(facts, e); });
    if (left.size() == before) return s;
    ir::Leaf out = leaf;
    out.predicate = conjoin(left);
    return ir::make_stmt(std::move(out), s->place);
  }

  const ir::Program& p_;
  std::vector<StmtRef> loops_;
  int peeled_ = 0;  // loops around that end at a max
};

}  // namespace

ir::Program known_guards(ir::Program program) {
  program.body = KnownGuards(program).body(program.body);
  return program;
}

}  // namespace heddle::host
