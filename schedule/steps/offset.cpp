// offset STAGE.a by N [as a_u8, sums]
//
//   s[..] = sum[p] i32(a[x]) * i32(b[y])
//     ->  a_u8[i]  = u8(i32(a[i]) + N)
//         sums[..] = sum[p] N * i32(b[y])
//         s[..]    = sum[p] i32(a_u8[x]) * i32(b[y])
//         and reads of s become  s[..] - sums[..]
//
// sum a*b = sum (a + N)*b - N * sum b, exactly in integers that wrap. With N = 128 a signed byte becomes an unsigned one, as
// instructions that multiply u8 by s8 take it. `sums` has the axes of s that b is read by; the names are by default
// `a_u8` and `s_sums`.
//
// Refused: s is no untouched sum of products of two widened integers, or is an output, or an instruction reads it; a + N does not fit in u8
// for every a; not all of a is computed where s is, or a loop around makes cells of it.
#include <algorithm>

#include "ir/print.h"
#include "ir/prove.h"
#include "ir/region.h"
#include "schedule/legality.h"
#include "schedule/names.h"
#include "schedule/nest.h"

namespace heddle::schedule {

using namespace ir;

namespace {

// i32(a[..]) of an 8-bit tensor.
const Load* widened(const Expr& e) {
  const Convert* c = e.as<Convert>();
  if (!c || c->mode != ConvertMode::value || e.type() != ScalarType::i32) return nullptr;
  const Load* l = c->value.as<Load>();
  return l && !l->otherwise.known() && (c->value.type() == ScalarType::i8 || c->value.type() == ScalarType::u8)
             ? l
             : nullptr;
}

struct Product {
  ProducerNest nest;
  const Load* left = nullptr;  // of the tensor that is offset
  Expr right;                  // the other factor
  bool first = true;           // whether `left` is the first factor
};

Result<Product> product_of(const Step& step, const Term& operand) {
  const Program& p = step.program;
  const size_t dot = operand.kind == Term::Kind::path ? operand.text.rfind('.') : std::string::npos;
  if (dot == std::string::npos)
    return Diagnostic(codes::wrong_operands, operand.place,
                      "`offset` takes a stage and a tensor that it reads: `offset acc.a by 128`");
  Term stage_term = operand;
  stage_term.text = operand.text.substr(0, dot);
  const std::string tensor = operand.text.substr(dot + 1);
  Result<StageId> stage = find_stage(step, stage_term);
  if (!stage) return stage.errors();
  Result<ProducerNest> nest = untouched_nest(step, *stage);
  if (!nest) return nest.errors();
  const std::string name = "`" + p.stage(*stage).name + "`";
  const Leaf& leaf = nest->leaf();
  const Place made_at = nest->chain.back()->place;
  auto refuse = [&](std::string why) {
    return step.refusal(codes::other_meaning, name + " " + std::move(why)).label(made_at, "it is computed here");
  };
  const Reducer* reducer = leaf.reducer.empty() ? nullptr : p.reducer(leaf.reducer);
  const Binary* mul = leaf.assigns[0].value.as<Binary>();
  if (!reducer || reducer->builtin != BuiltinReducer::sum || !mul || mul->op != BinaryOp::mul ||
      leaf.assigns[0].value.type() != ScalarType::i32)
    return refuse("is no sum of products of integers in 32 bits");
  Product out{std::move(*nest), nullptr, {}};
  std::vector<std::string> known;
  for (const auto& [mine, other] : {std::pair{mul->left, mul->right}, std::pair{mul->right, mul->left}}) {
    const Load* l = widened(mine);
    if (l) known.push_back(buffer_name(p, l->buffer));
    if (!l || known.back() != tensor) continue;
    out.left = l;
    out.right = other;
    out.first = mine.is(mul->left);
  }
  if (!out.left) {
    Diagnostic d = refuse("has no factor `i32(" + tensor + "[..])` of 8 bits");
    const std::string near = nearest(tensor, known);
    if (!near.empty()) d.help = "did you mean `" + near + "`?";
    return d;
  }
  return out;
}

// The indices of a tensor, named as where it is read.
std::vector<std::string> index_names(const Program& p, const Load& read) {
  std::vector<std::string> out;
  for (size_t d = 0; d < read.subs.size(); ++d) {
    const Var* v = read.subs[d].as<Var>();
    std::string name = v ? p.symbol(v->symbol).name : "d" + std::to_string(d);
    if (std::find(out.begin(), out.end(), name) != out.end()) name = "d" + std::to_string(d);
    out.push_back(name);
  }
  return out;
}

// for i over the box { NAME[i] = u8(i32(a[i]) + n) }, with its alloc. `again`: each iteration of loops around makes all of it.
BufferId make_shifted(Step& step, const Load& read, int64_t n, const std::string& name, bool again, Body& out) {
  Program& p = step.program;
  const BufferId from = read.buffer;
  const Buffer source = p.buffer(from);
  const std::vector<std::string> names = index_names(p, read);
  Buffer b;
  b.name = name;
  b.type = ScalarType::u8;
  b.place = step.call.place;
  Stage row;
  row.name = name;
  row.place = step.call.place;
  Leaf leaf;
  Assign assign;
  std::vector<Expr> at;
  std::vector<For> loops;
  for (size_t d = 0; d < source.box.size(); ++d) {
    const BoxDim& box = source.box[d];
    const std::string& index = names[d];
    b.box.push_back({index, box.lo, box.hi});
    Axis axis{p.add(Symbol{index, SymbolKind::axis, ScalarType::index, name, step.call.place}), AxisClass::map, box.lo,
              box.hi};
    For l;
    l.loop = p.add(Symbol{index, SymbolKind::loop, ScalarType::index, name, step.call.place});
    l.lo = box.lo;
    l.hi = box.hi;
    leaf.bindings.push_back(var(l.loop));
    at.push_back(var(axis.symbol));
    row.axes.push_back(axis);
    loops.push_back(std::move(l));
  }
  const BufferId made = p.add(std::move(b));
  row.writes = {made};
  assign.buffer = made;
  assign.subs = at;
  assign.value = convert(ScalarType::u8,
                         convert(ScalarType::i32, load(source.type, from, at)) + integer_constant(ScalarType::i32, n));
  leaf.assigns = {std::move(assign)};
  leaf.recomputed = again;
  leaf.stage = p.add(std::move(row));
  StmtRef inner = make_stmt(std::move(leaf), step.call.place);
  for (auto l = loops.rbegin(); l != loops.rend(); ++l) {
    l->body = {inner};
    inner = make_stmt(std::move(*l), step.call.place);
  }
  out.push_back(make_stmt(Alloc{{made}}, step.call.place));
  out.push_back(inner);
  return made;
}

bool is_dropped(const Axis& axis, const Product& s) {
  return axis.cls != AxisClass::reduce && !mentions(s.right, axis.symbol);
}

// Whether a condition of s speaks of an axis that the sums of the other factor do not have.
bool speaks_of_dropped(const Expr& condition, const Stage& row, const Product& s) {
  for (size_t i = 0; i < row.axes.size(); ++i)
    if (const Var* v = s.nest.leaf().bindings[i].as<Var>();
        v && is_dropped(row.axes[i], s) && mentions(condition, v->symbol))
      return true;
  return false;
}

// Conditions that earlier steps left, such as the end of a reduction that lies in blocks: not those that the ranges of the axes imply.
std::vector<Expr> conditions_of(const Program& p, const Product& s) {
  const Stage& row = p.stage(s.nest.stage);
  const Leaf& leaf = s.nest.leaf();
  Substitution at;
  for (size_t i = 0; i < row.axes.size(); ++i) at.emplace_back(row.axes[i].symbol, leaf.bindings[i]);
  Facts facts = facts_at(p, s.nest.outer);
  for (size_t i = 0; i < row.axes.size(); ++i)
    facts.add(both(less_equal(substitute(row.axes[i].lo, at), leaf.bindings[i]),
                   less(leaf.bindings[i], substitute(row.axes[i].hi, at))));
  std::vector<Expr> out = conjuncts(leaf.predicate);
  std::erase_if(out, [&](const Expr& e) { return prove(facts, e); });
  return out;
}

// NAME[axes of b] = sum n * i32(b[y]), with its alloc; `dims` are the dims of s that it keeps.
BufferId make_sums(Step& step, const Product& s, int64_t n, const std::string& name, const std::vector<For>& outside,
                   std::vector<size_t>& dims, Body& out) {
  Program& p = step.program;
  const Stage old = p.stage(s.nest.stage);
  const Leaf& leaf = s.nest.leaf();
  const Buffer result = p.buffer(leaf.assigns[0].buffer);
  Buffer b;
  b.name = name;
  b.type = ScalarType::i32;
  b.place = step.call.place;
  Stage row;
  row.name = name;
  row.reducer = leaf.reducer;
  row.place = step.call.place;
  Substitution axes, loops, own;  // axes in terms of new axes and of new loops, loops in terms of new loops
  Facts facts = facts_at(p, path_to_alloc(p, s.nest.leaf().assigns[0].buffer));
  std::vector<Expr> guards;
  std::vector<For> maps, reduces;
  std::vector<Expr> bindings;
  for (size_t i = 0; i < old.axes.size(); ++i) {
    const bool reduce = old.axes[i].cls == AxisClass::reduce;
    if (is_dropped(old.axes[i], s)) continue;
    Axis axis = old.axes[i];
    axis.symbol = p.add(Symbol{p.symbol(axis.symbol).name, SymbolKind::axis, ScalarType::index, name, step.call.place});
    axis.lo = substitute(axis.lo, axes);
    axis.hi = substitute(axis.hi, axes);
    axes.emplace_back(old.axes[i].symbol, var(axis.symbol));
    For l;
    l.loop = p.add(Symbol{p.symbol(axis.symbol).name, SymbolKind::loop, ScalarType::index, name, step.call.place});
    l.lo = substitute(old.axes[i].lo, loops);
    l.hi = substitute(old.axes[i].hi, loops);
    if (!reduce) {
      // As much of the axis as s is computed of here: all of it, or the window that `compute_at` left.
      const size_t dim = *dim_of_axis(p, leaf, i);
      const BoxDim& box = result.box[dim];
      dims.push_back(dim);
      b.box.push_back({box.name, box.lo, box.hi});
      const Expr at = var(l.loop);
      facts.add_range(l.loop, box.lo, box.hi);
      for (const Expr& inside : {less_equal(l.lo, at), less(at, l.hi)})
        if (!prove(facts, inside)) guards.push_back(inside);
      l.lo = box.lo;
      l.hi = box.hi;
    }
    loops.emplace_back(old.axes[i].symbol, var(l.loop));
    if (const Var* v = leaf.bindings[i].as<Var>()) own.emplace_back(v->symbol, var(l.loop));
    row.axes.push_back(axis);
    bindings.push_back(var(l.loop));
    (reduce ? reduces : maps).push_back(std::move(l));
  }
  Window whole;  // what one iteration of the loops around makes
  for (const BoxDim& d : b.box) whole.ranges.push_back({d.lo, d.hi});
  const BufferId made = p.add(std::move(b));
  whole.buffer = made;
  row.writes = {made};
  if (old.where.known()) row.where = substitute(old.where, axes);
  Assign assign;
  assign.buffer = made;
  assign.kind = AssignKind::combine;
  assign.value = integer_constant(ScalarType::i32, n) * substitute(s.right, axes);
  Window window{made, {}};
  for (size_t i = 0; i < row.axes.size(); ++i)
    if (row.axes[i].cls == AxisClass::map) {
      assign.subs.push_back(var(row.axes[i].symbol));
      window.ranges.push_back({bindings[i], simplify(bindings[i] + 1)});
    }
  Leaf sum;
  sum.reducer = leaf.reducer;
  sum.recomputed = !disjoint_over(whole, outside, facts);
  sum.bindings = bindings;
  if (old.where.known()) guards.push_back(substitute(old.where, loops));
  for (const Expr& condition : conditions_of(p, s)) guards.push_back(substitute(condition, own));
  // Where loops around keep s from being computed, what the other factor reads may not be there either.
  for (const Expr& condition : conjuncts(leaf.predicate)) {
    const bool by_own_loops = std::any_of(s.nest.chain.begin(), s.nest.chain.end(), [&](const StmtRef& around) {
      const For* l = as<For>(around);
      return l && mentions(condition, l->loop);
    });
    if (by_own_loops || std::any_of(guards.begin(), guards.end(), [&](const Expr& g) { return same(g, condition); }))
      continue;
    if (!prove(facts, condition)) guards.push_back(condition);
  }
  sum.predicate = conjoin(guards);
  sum.assigns = {std::move(assign)};
  const std::string reducer = row.reducer;
  sum.stage = p.add(std::move(row));
  StmtRef inner = make_stmt(std::move(sum), step.call.place);
  auto around = [&](std::vector<For>& list) {
    for (auto l = list.rbegin(); l != list.rend(); ++l) {
      l->body = {inner};
      inner = make_stmt(std::move(*l), step.call.place);
    }
  };
  around(reduces);
  inner = make_stmt(Reduce{{std::move(window)}, reducer, false, {inner}}, step.call.place);
  around(maps);
  out.push_back(make_stmt(Alloc{{made}}, step.call.place));
  out.push_back(inner);
  return made;
}

// All of the tensor's box holds its values where s is computed: none of its cells is made by a loop around or lies past its domain.
Result<Done> whole_by_then(const Step& step, const Product& s) {
  const Program& p = step.program;
  const BufferId from = s.left->buffer;
  const Buffer& source = p.buffer(from);
  if (source.role == Role::in) return Done{};
  const std::string name = "`" + buffer_name(p, from) + "`";
  const Path made = path_to_alloc(p, from);
  for (size_t i = made.size() - 1; i < s.nest.outer.size(); ++i)
    if (const For* l = as<For>(s.nest.outer[i])) {
      const std::vector<Access> list = accesses(p, l->body, from);
      if (std::any_of(list.begin(), list.end(), [](const Access& a) { return a.writes; }))
        return step
            .refusal(codes::order_matters, "iterations of `" + loop_name(p, l->loop) + "` make cells of " + name +
                                               ", and all of it would be read in each")
            .label(s.nest.outer[i]->place, "this loop")
            .with_help("move this line above the one that placed `" + p.stage(s.nest.stage).name + "` there");
    }
  const Facts at = facts_at(p, s.nest.outer);
  auto fills = [&](const Assign& a, const Stage& row) {
    for (size_t d = 0; d < source.box.size(); ++d) {
      const Var* v = a.subs[d].as<Var>();
      if (!v || std::none_of(row.axes.begin(), row.axes.end(), [&](const Axis& axis) {
            return axis.symbol == v->symbol && axis.cls == AxisClass::map &&
                   prove(at, both(less_equal(axis.lo, source.box[d].lo), less_equal(source.box[d].hi, axis.hi)));
          }))
        return false;
    }
    return !row.where.known() || !row.reducer.empty();
  };
  for (const Access& a : accesses(p, p.body, from)) {
    if (!a.writes || a.initialises) continue;
    const Leaf* leaf = as<Leaf>(a.by);
    if (leaf && std::all_of(leaf->assigns.begin(), leaf->assigns.end(),
                            [&](const Assign& w) { return w.buffer != from || fills(w, p.stage(leaf->stage)); }))
      continue;
    return step.refusal(codes::not_shown, "cannot show that all cells of " + name + " are computed")
        .label(a.by->place, "it is written here")
        .with_help("move this line above the one that changed the box of " + name);
  }
  for (const BoxDim& d : source.box)
    for (const StmtRef& around : made)
      if (const For* l = as<For>(around); l && (mentions(d.lo, l->loop) || mentions(d.hi, l->loop)))
        return step.refusal(codes::not_shown, "the box of " + name + " moves with `" + loop_name(p, l->loop) + "`")
            .label(around->place, "this loop")
            .with_help("move this line above the one that placed " + name + " there");
  return Done{};
}

// What `sums` is made of must not depend on axes that only the other factor has.
Result<Done> ranges_stand_alone(const Step& step, const Product& s) {
  const Stage& row = step.program.stage(s.nest.stage);
  for (const Axis& a : row.axes) {
    if (is_dropped(a, s))
      for (const Axis& other : row.axes)
        if (mentions(other.lo, a.symbol) || mentions(other.hi, a.symbol) ||
            (row.where.known() && mentions(row.where, a.symbol)))
          return step.refusal(codes::order_matters, "what `" + row.name + "` sums depends on `" +
                                                        step.program.symbol(a.symbol).name +
                                                        "`, so the sums of the other factor do too");
    if (a.cls != AxisClass::reduce && a.cls != AxisClass::map)
      return step.refusal(codes::other_meaning, "`" + row.name + "` is no plain reduction");
  }
  const Leaf& leaf = s.nest.leaf();
  for (const Expr& condition : conditions_of(step.program, s)) {
    bool plain = !speaks_of_dropped(condition, row, s);
    for (const StmtRef& around : s.nest.chain)
      if (const For* l = as<For>(around); l && mentions(condition, l->loop))
        plain = plain && std::any_of(leaf.bindings.begin(), leaf.bindings.end(), [&](const Expr& b) {
                  const Var* v = b.as<Var>();
                  return v && v->symbol == l->loop;
                });
    if (!plain)
      return step
          .refusal(codes::order_matters, "what `" + row.name +
                                             "` sums depends on more than axes of the other factor: on `" +
                                             print(step.program, condition) + "`")
          .label(s.nest.chain.back()->place, "here");
  }
  return Done{};
}

}  // namespace

Result<Done> offset_step(Step& step) {
  Program& p = step.program;
  Result<int64_t> n = integer_after(step, "by", 0);
  if (!n) return n.errors();
  Result<Product> found = product_of(step, step.call.operands[0]);
  if (!found) return found.errors();
  const BufferId from = found->left->buffer;
  const std::string tensor = buffer_name(p, from), stage = p.stage(found->nest.stage).name;
  const ScalarType type = p.buffer(from).type;
  if (integer_min(type) + *n < 0 || integer_max(type) + *n > 255)
    return step
        .refusal(codes::bad_value, "`" + tensor + "` is " + std::string(scalar_type_name(type)) + ", and with " +
                                       std::to_string(*n) + " added it does not fit in u8")
        .with_help(type == ScalarType::i8 ? "`by 128` makes every i8 a u8" : "it is unsigned already");
  Result<std::vector<std::string>> names = names_after(step, "as", {tensor + "_u8", stage + "_sums"});
  if (!names) return names.errors();
  for (const std::string& name : *names)
    if (Result<Done> free = free_stage_name(step, name); !free) return free.errors();
  if ((*names)[0] == (*names)[1])
    return step.refusal(codes::name_taken, "both new stages would be named `" + (*names)[0] + "`");
  for (Result<Done> check : {ranges_stand_alone(step, *found), whole_by_then(step, *found)})
    if (!check) return check;
  const BufferId result = found->nest.leaf().assigns[0].buffer;
  for (const StmtRef& s : p.body) {
    bool tried = false;
    map_exprs(s, [&](const Expr& e) {
      walk(e, [&](const Expr& node) {
        const Load* l = node.as<Load>();
        tried |= l && l->buffer == result && l->otherwise.known();
        return true;
      });
      return e;
    });
    if (tried)
      return step.refusal(codes::other_meaning,
                          "`" + stage + "` is read with `or`, which the sums cannot be taken from");
  }

  if (Result<Done> leaves = no_instruction_reads(step, result); !leaves) return leaves;

  Body before;
  std::vector<size_t> dims;
  std::vector<For> around;
  for (const StmtRef& s : path_to_alloc(p, result))
    if (const For* l = as<For>(s)) around.push_back(*l);
  const BufferId shifted = make_shifted(step, *found->left, *n, (*names)[0], !around.empty(), before);
  const BufferId sums = make_sums(step, *found, *n, (*names)[1], around, dims, before);
  // Readers first: the product itself reads no sums.
  p.body = map_loads(p.body, {result}, [&](const Expr& node, const Load& l) {
    std::vector<Expr> subs;
    for (size_t d : dims) subs.push_back(l.subs[d]);
    return node - load(ScalarType::i32, sums, std::move(subs));
  });
  // Right before s, wherever it is allocated: what it reads is computed by then.
  const Path nest = leaves_of(p, found->nest.stage)[0].path;
  const size_t depth = found->nest.outer.size();
  const Body& body = depth == 0 ? p.body : children(nest[depth - 1]);
  auto place = std::find(body.begin(), body.end(), nest[depth]);
  if (place != body.begin() && *(place - 1) == path_to_alloc(p, result).back()) --place;
  insert_before(p, *place, std::move(before));
  const StmtRef leaf_stmt = nest.back();
  Leaf leaf = std::get<Leaf>(leaf_stmt->form);
  const Expr left = convert(ScalarType::i32, load(ScalarType::u8, shifted, found->left->subs));
  leaf.assigns[0].value = found->first ? left * found->right : found->right * left;
  replace(p, leaf_stmt, {make_stmt(std::move(leaf), leaf_stmt->place)});
  step.relied_on("sum a*b = sum (a + " + std::to_string(*n) + ")*b - " + std::to_string(*n) +
                 " * sum b, exactly in integers that wrap");
  return Done{};
}

}  // namespace heddle::schedule
