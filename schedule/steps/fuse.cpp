// fuse L, M [into z]
//
//   for s.L in a .. b { A } ; for t.M in c .. d { B }   (b - a = d - c)
//     ->  for s.z in a .. b { A[L := z] ; B[M := z + c - a] }
//   reduce s[..] { for s.L { A } } ; reduce t[..] { for t.M { B } }
//     ->  reduce s[..] { reduce t[..] { for s.z { A ; B } } }
//
// Two loops, one after the other in one body, become one. The new loop belongs to the stage of the first; its name is
// by default that of the first.
//
// Refused: one of the two is not serial; they do not stand one after the other (allocations aside); their numbers of
// iterations differ; B at an iteration and A at a later one touch a common cell that one of them writes, so the
// consumer's box must lie within the producer's boxes so far; a check on data in A.
#include <algorithm>

#include "ir/print.h"
#include "ir/region.h"
#include "schedule/legality.h"
#include "schedule/names.h"
#include "schedule/nest.h"
#include "schedule/order.h"

namespace heddle::schedule {

using namespace ir;

namespace {

// A loop with the regions right around it.
struct Whole {
  Path around;                   // of the outermost region, or of the loop
  std::vector<StmtRef> regions;  // outermost first
  StmtRef loop;

  const StmtRef& top() const { return regions.empty() ? loop : regions.front(); }
  const For& form() const { return std::get<For>(loop->form); }
};

Whole whole_of(const Program& p, SymbolId loop) {
  Path path = path_to_loop(p, loop);
  Whole out;
  out.loop = path.back();
  path.pop_back();
  while (!path.empty() && as<Reduce>(path.back()) && children(path.back()).size() == 1) {
    out.regions.insert(out.regions.begin(), path.back());
    path.pop_back();
  }
  out.around = std::move(path);
  return out;
}

// Drops regions that both stand in: what is left stands in one body.
void meet(const Program& p, Whole& a, Whole& b) {
  if (a.around == b.around) return;
  for (Whole* w : {&a, &b}) {
    Path path = path_to_loop(p, w->form().loop);
    path.pop_back();
    w->around = std::move(path);
    w->regions.clear();
  }
}

Result<Done> neighbours(const Step& step, const Whole& a, const Whole& b, size_t& from, size_t& to) {
  const Program& p = step.program;
  const std::string first = "`" + loop_name(p, a.form().loop) + "`", second = "`" + loop_name(p, b.form().loop) + "`";
  if (a.around != b.around)
    return step.refusal(codes::not_nested, first + " and " + second + " do not stand in one body")
        .label(a.loop->place, "one loop")
        .label(b.loop->place, "the other")
        .with_help("fuse the loops around them first, from the outside in");
  const Body& body = a.around.empty() ? p.body : children(a.around.back());
  from = static_cast<size_t>(std::find(body.begin(), body.end(), a.top()) - body.begin());
  to = static_cast<size_t>(std::find(body.begin(), body.end(), b.top()) - body.begin());
  if (to < from)
    return step.refusal(codes::wrong_operands, second + " runs before " + first).with_help("name it first");
  for (size_t i = from + 1; i < to; ++i)
    if (!as<Alloc>(body[i])) {
      Diagnostic d = step.refusal(codes::not_nested, "another statement stands between " + first + " and " + second);
      if (body[i]->place.known()) d.labels.push_back({body[i]->place, "this one"});
      d.help = "fuse with the loops of that statement, or place it elsewhere";
      return d;
    }
  return Done{};
}

// The second loop's regions are opened before the first loop runs, and their bounds are those of the first.
Result<Done> regions_apart(const Step& step, const Whole& a, const Whole& b) {
  const Program& p = step.program;
  for (const auto& [regions, other] : {std::pair{&a.regions, &b}, std::pair{&b.regions, &a}})
    for (const StmtRef& s : *regions)
      for (const Window& w : std::get<Reduce>(s->form).windows) {
        if (!touches(p, {other->loop}, {w.buffer})) continue;
        return step
            .refusal(codes::order_matters, "`" + loop_name(p, other->form().loop) + "` uses `" +
                                               buffer_name(p, w.buffer) + "` while its reduction would be open")
            .label(s->place, "reduced here")
            .with_help("a reduction can be read only once it is complete");
      }
  std::vector<BufferId> written;
  for (const Access& x : accesses(p, {a.top()}))
    if (x.writes) written.push_back(x.buffer);
  bool read = loads_from(b.form().lo, written) || loads_from(b.form().hi, written);
  for (const StmtRef& s : b.regions) own_exprs(s, [&](const Expr& e) { read |= loads_from(e, written); });
  if (read)
    return step.refusal(codes::order_matters, "the bounds of `" + loop_name(p, b.form().loop) + "` depend on what `" +
                                                  loop_name(p, a.form().loop) + "` computes");
  return Done{};
}

}  // namespace

Result<Done> fuse_step(Step& step) {
  Program& p = step.program;
  Result<std::vector<SymbolId>> loops = find_loops(step, step.call.operands);
  if (!loops) return loops.errors();
  if (loops->size() != 2)
    return step.refusal(codes::wrong_operands, "`fuse` takes two loops, in the order in which they run");
  for (SymbolId id : *loops)
    if (Result<Done> serial = can_rewrite(step, path_to_loop(p, id)); !serial) return serial;
  Whole a = whole_of(p, (*loops)[0]), b = whole_of(p, (*loops)[1]);
  meet(p, a, b);
  size_t from = 0, to = 0;
  if (Result<Done> near = neighbours(step, a, b, from, to); !near) return near;
  if (Result<Done> apart = regions_apart(step, a, b); !apart) return apart;
  const For l = a.form(), m = b.form();
  const std::string first = loop_name(p, l.loop), second = loop_name(p, m.loop);
  const Facts facts = facts_at(p, a.around);
  const Expr rows = simplify(l.hi - l.lo, facts), others = simplify(m.hi - m.lo, facts);
  if (!equal(rows, others, facts))
    return step
        .refusal(codes::not_shown, "cannot show that `" + first + "` and `" + second + "` have as many iterations: `" +
                                       print(p, rows) + "` and `" + print(p, others) + "`")
        .with_help("state it by a `require` of the op or the schedule's `where`, or `peel` the longer loop");

  const std::string owner = p.symbol(l.loop).owner;
  Result<std::vector<std::string>> name = names_after(step, "into", {p.symbol(l.loop).name});
  if (!name) return name.errors();
  if (Result<Done> free = free_loop_name(step, owner, (*name)[0], l.loop); !free) return free;
  SymbolId z = p.add(Symbol{(*name)[0], SymbolKind::loop, ScalarType::index, owner, step.call.place});
  auto put = [&](const Body& body, SymbolId old, const Expr& value) {
    auto moved = [&](const Expr& e) { return mentions(e, old) ? tidy(substitute(e, {{old, value}})) : e; };
    for (BufferId id : allocated_in(body))
      for (BoxDim& d : p.buffers[id.value].box) d.lo = moved(d.lo), d.hi = moved(d.hi);
    Body out = body;
    for (StmtRef& s : out) s = map_loop_exprs(s, moved);
    return out;
  };
  Body head = put(l.body, l.loop, var(z)), tail = put(m.body, m.loop, simplify(var(z) + (m.lo - l.lo), facts));
  For made{z, l.lo, l.hi, LoopKind::serial, {}, 0, {}};
  for (Result<Done> check : {no_checks(step, head), iterations_commute(step, made, head, tail, facts)})
    if (!check) return check;
  made.body = head;
  made.body.insert(made.body.end(), tail.begin(), tail.end());
  StmtRef all = make_stmt(std::move(made), step.call.place);
  for (const std::vector<StmtRef>* regions : {&b.regions, &a.regions})
    for (auto r = regions->rbegin(); r != regions->rend(); ++r) all = with_children(*r, {all});

  const Body& body = a.around.empty() ? p.body : children(a.around.back());
  Body allocs(body.begin() + static_cast<std::ptrdiff_t>(from) + 1, body.begin() + static_cast<std::ptrdiff_t>(to));
  for (const StmtRef& s : allocs) replace(p, s, {});
  replace(p, b.top(), {});
  allocs.push_back(all);
  replace(p, a.top(), allocs);
  for (const std::string& used : {first, second}) consume(step, used, "fused into `" + owner + "." + (*name)[0] + "`");
  step.relied_on("no iteration of `" + second + "` touches what `" + first + "` does in a later one");
  return Done{};
}

}  // namespace heddle::schedule
