// How the buffers of a program lie on chip: which dim over partitions, which along them, and which choose among tiles.
#include "backend/neuron/lowering.h"
#include "ir/bound.h"
#include "ir/digits.h"

namespace heddle::neuron {

using namespace ir;

void Lowering::find_partition_dims() {
  partition_dim_.assign(p_.buffers.size(), -1);
  std::vector<const For*> around;
  std::function<void(const Body&)> visit = [&](const Body& statements) {
    for (const StmtRef& s : statements) {
      const For* f = std::get_if<For>(&s->form);
      bool partition = f && f->kind == LoopKind::bound && f->axis == "partition";
      if (partition) around.push_back(f);
      if (const Leaf* l = std::get_if<Leaf>(&s->form)) {
        for (const Assign& a : l->assigns) {
          if (p_.buffer(a.buffer).memory == Memory::dram) continue;
          for (size_t d = 0; d < a.subs.size(); ++d) {
            const Substitution map = point_of(p_, *l);
            Expr sub = substitute(a.subs[d], map);
            for (const For* p : around) {
              if (!mentions(sub, p->loop) || is_reduce_loop(p_, *l, p->loop)) continue;
              int& known = partition_dim_[a.buffer.value];
              if (known >= 0 && known != static_cast<int>(d))
                fail(codes::mixed_axes,
                     "`" + p_.buffer(a.buffer).name + "` is written with two of its dims over partitions",
                     "bind the loops of one dim to `partition` wherever it is written", s->place);
              known = static_cast<int>(d);
            }
          }
        }
      }
      if (const Call* c = std::get_if<Call>(&s->form))
        for (const Window& w : c->windows)
          if (const std::vector<size_t> dims = operand_dims(w);
              p_.buffer(w.buffer).memory != Memory::dram && !dims.empty() &&
              partition_dim_[w.buffer.value] <
                  0) {  // the first dim of the operand, or the first coordinate of its layout
            const std::optional<Layout>& layout = p_.buffer(w.buffer).layout;
            std::optional<Digit> turned =
                layout && !layout->to.empty() ? digit_of(layout->to[0], layout->from) : std::nullopt;
            partition_dim_[w.buffer.value] = turned ? static_cast<int>(turned->index) : static_cast<int>(dims[0]);
          }
      visit(children(s));
      if (partition) around.pop_back();
    }
  };
  visit(k_.program.body);
}

int64_t Lowering::Walk::piece() const {
  int64_t most = 0;
  for (const auto& [begin, count] : stretches) most = std::max(most, count);
  if (!regular || most == 0) return 0;
  for (const auto& [begin, count] : stretches) {
    if (most % count != 0 && !is_constant(simplify(binary(BinaryOp::mod, begin, index_constant(most))), 0)) return 0;
    if (!is_constant(simplify(binary(BinaryOp::mod, simplify(begin), index_constant(count))), 0)) return 0;
  }
  return most;
}

// Along which dims a tile must reach: those that bound loops run along, in one access at least. The others choose among tiles.
void Lowering::find_walked_dims() {
  walked_.resize(p_.buffers.size());
  for (size_t i = 0; i < walked_.size(); ++i) {
    const Buffer& b = p_.buffers[i];
    walked_[i].resize(b.box.size());
    // The axes of a field lie along the partition.
    for (size_t d = b.box.size() - static_cast<size_t>(b.field_dims); d < b.box.size(); ++d)
      walked_[i][d] = {true, false, {}};
  }
  std::vector<const For*> around;
  auto subscripts = [&](BufferId buffer, const std::vector<Expr>& subs) {
    for (size_t d = 0; d < subs.size() && d < walked_[buffer.value].size(); ++d) {
      Walk& dim = walked_[buffer.value][d];
      walk(subs[d], [&](const Expr& part) {
        if (part.as<ir::Load>()) dim.any = true, dim.regular = false;  // picked by data
        return true;
      });
      for (const For* f : around) {
        AffineIn a = affine_in(subs[d], f->loop);
        if (a.ok && a.coefficient == 0) continue;
        std::optional<int64_t> count = constant_of(simple(f->hi - f->lo));
        dim.any = true;
        dim.regular &= a.ok && a.coefficient == 1 && count;
        if (dim.regular && *count > 0) dim.stretches.emplace_back(a.rest + f->lo - p_.buffer(buffer).box[d].lo, *count);
      }
    }
  };
  std::function<void(const Body&)> visit = [&](const Body& statements) {
    for (const StmtRef& s : statements) {
      const For* f = std::get_if<For>(&s->form);
      bool bound = f && f->kind == LoopKind::bound && is_tile_axis(f->axis);
      if (bound) around.push_back(f);
      if (const Leaf* l = std::get_if<Leaf>(&s->form)) {
        const Substitution map = point_of(p_, *l);
        for (const Assign& a : l->assigns) {
          subscripts(a.buffer, substitute(a.subs, map));
          walk(substitute(a.value, map), [&](const Expr& part) {
            if (const ir::Load* read = part.as<ir::Load>()) subscripts(read->buffer, read->subs);
            return true;
          });
        }
      }
      if (const Call* c = std::get_if<Call>(&s->form))
        for (const Window& w : c->windows)  // along its last dim, from a place that the loops of the text say
          for (size_t d : operand_dims(w)) {
            Walk& dim = walked_[w.buffer.value][d];
            std::optional<int64_t> most = constant_of(simple(w.ranges[d].hi - w.ranges[d].lo));
            if (!most && w.ranges[d].max_extent) most = w.ranges[d].max_extent;
            dim.any = true;
            dim.regular &= most && *most > 0;
            if (dim.regular) dim.stretches.emplace_back(w.ranges[d].lo - p_.buffer(w.buffer).box[d].lo, *most);
          }
      visit(children(s));
      if (bound) around.pop_back();
    }
  };
  visit(k_.program.body);
}

// What stages write along a dim of a buffer, where its box is a bound of more than a tile: that of a `require` or `where`, say.
int64_t Lowering::written(BufferId id, size_t dim) {
  constexpr int64_t tile = 512;
  const BoxDim& box = p_.buffer(id).box[dim];
  std::optional<int64_t> scheduled = constant_of(simple(extent(box.lo, box.hi)));
  if (!scheduled || *scheduled <= tile) return INT64_MAX;
  int64_t most = 0;
  walk(p_.body, [&](const StmtRef& s) {
    const Leaf* l = std::get_if<Leaf>(&s->form);
    for (size_t i = 0; l && i < l->assigns.size(); ++i) {
      if (l->assigns[i].buffer != id) continue;
      const Var* axis = dim < l->assigns[i].subs.size() ? l->assigns[i].subs[dim].as<Var>() : nullptr;
      int64_t end = INT64_MAX;
      for (const Axis& a : p_.stage(l->stage).axes)
        if (axis && a.symbol == axis->symbol && !constant_upper_bound(simple(a.hi - box.lo), facts_, end))
          end = INT64_MAX;
      most = std::max(most, end);
    }
    if (const Call* c = std::get_if<Call>(&s->form))
      for (const Window& w : c->windows)
        if (w.buffer == id) most = INT64_MAX;
    return true;
  });
  return std::max<int64_t>(1, most);
}

void Lowering::alloc(BufferId id, const Place& place) {
  const Buffer& b = p_.buffer(id);
  Placed& p = placed_[id.value];
  p.extents.clear();
  for (size_t d = 0; d < b.box.size(); ++d)
    p.extents.push_back(
        std::max<int64_t>(1, std::min(bound_of(simple(extent(b.box[d].lo, b.box[d].hi))), written(id, d))));
  if (b.memory == Memory::dram) {
    std::vector<int64_t> shape = shape_of(b, p.extents, place);
    if (p.tile == UINT32_MAX)
      p.tile = make_tile(b.name, held(b.type), Space::hbm, shape.empty() ? std::vector<int64_t>{1} : shape,
                         "`" + b.name + "`");
  } else if (fold(b, p, place)) {
    arrange(b, id, p, place);
    if (!failure_.empty()) return;
  }
  alloc_depth_[id.value] = serial_.size();
  out_->push_back({Make{p.tile}, place_});
}

// The array of a buffer in HBM: its dims, or the coordinates of its layout.
std::vector<int64_t> Lowering::shape_of(const Buffer& b, const std::vector<int64_t>& extents, const Place& place) {
  if (!b.layout) return extents;
  std::optional<std::vector<Digit>> digits = digits_of(*b.layout);
  std::vector<int64_t> shape;
  if (digits) {
    for (const Digit& d : *digits) shape.push_back(bound_of(extent_of(d, index_constant(extents[d.index]))));
    return shape;
  }
  for (const Expr& e : b.layout->to) {  // a fold: the modulus bounds it
    std::optional<Digit> d = digit_of(e, b.layout->from);
    if (!d || d->low != 1) {
      fail(codes::no_form, "the layout of `" + b.name + "` has no form in HBM", "blocks of the form `i/n` and `i%n` do",
           place);
      return extents;
    }
    shape.push_back(d->size ? std::min(d->size, extents[d->index]) : extents[d->index]);
  }
  return shape;
}

bool Lowering::ordered_for_an_instruction(const Buffer& b) {
  bool any = false;
  walk(p_.body, [&](const StmtRef& s) {
    const Call* c = std::get_if<Call>(&s->form);
    const Instr* instr = c ? p_.instr(c->instr) : nullptr;
    for (size_t i = 0; instr && i < c->windows.size(); ++i)
      any |= &p_.buffer(c->windows[i].buffer) == &b && instr->operands[i].layout;
    return !any;
  });
  return any;
}

// On chip a layout keeps a few slices of a dim (`fold_storage`); which dim lies where is said by `bind`. One that only orders blocks, `i/n` and `i%n`,
// is for an instruction that asks for it and changes nothing here.
bool Lowering::fold(const Buffer& b, Placed& p, const Place& place) {
  p.folds.assign(p.extents.size(), 0);
  if (!b.layout) return true;
  std::vector<int> seen(p.extents.size(), 0);
  if (digits_of(*b.layout) && ordered_for_an_instruction(b)) return true;
  for (const Expr& e : b.layout->to) {
    std::optional<Digit> d = digit_of(e, b.layout->from);
    if (!d || d->low != 1 || seen[d->index]++) {
      fail(codes::no_form, "`" + b.name + "` is on chip, where a layout has no effect but to fold a dim",
           "`bind` says which dim lies over partitions; `layout` is for what lies in HBM", place);
      return false;
    }
    if (d->size && d->size < p.extents[d->index]) p.folds[d->index] = p.extents[d->index] = d->size;
  }
  return true;
}

// Which dims lie over partitions, along them, and in tiles of their own.
void Lowering::arrange(const Buffer& b, BufferId id, Placed& p, const Place& place) {
  constexpr int64_t least = 64;  // bytes of a partition: of less no tile is made
  bool psum = b.memory == Memory::psum;
  p.on_chip = true;
  p.partition_dim = partition_dim_[id.value];
  const std::vector<Walk>& walked = walked_[id.value];
  int64_t partitions = 1, blocks = 1;
  for (size_t d = 0; d < p.extents.size(); ++d)
    if (static_cast<int>(d) == p.partition_dim) partitions = p.extents[d];
  if (partitions > core_.partitions) {
    blocks = (partitions + core_.partitions - 1) / core_.partitions;
    partitions = core_.partitions;
  }
  auto measure = [&](bool lists) {
    p.listed.assign(p.extents.size(), false);
    p.free_size = 1;
    p.list = lists ? blocks : 1;
    p.piece = 0;
    p.last = -1;
    for (size_t d = 0; d < p.extents.size(); ++d) {
      if (static_cast<int>(d) == p.partition_dim) continue;
      if (lists && !walked[d].any) {
        p.listed[d] = true;
        p.list *= p.extents[d];
      } else {
        p.free_size *= p.extents[d];
        p.last = static_cast<int>(d);
      }
    }
  };
  measure(true);
  if (p.free_size * type_bytes(held(b.type)) < least) measure(false);
  p.packed = blocks > 1 && p.list == 1;
  if (p.list == 1) p.list = 0;
  int64_t row = p.free_size * (p.packed ? blocks : 1), bank = core_.psum_bank_bytes / type_bytes(held(b.type));
  int64_t piece = p.last >= 0 && p.free_size == p.extents[p.last] ? walked[p.last].piece() : 0;
  if (piece > 0 && piece < p.free_size && piece * type_bytes(held(b.type)) >= least && (!psum || piece <= bank)) {
    // What is worked on at once has a tile of its own; rows that take several banks need that.
    p.list = std::max<int64_t>(1, p.list) * ((p.free_size + piece - 1) / piece) * (p.packed ? blocks : 1);
    p.piece = p.free_size = row = piece;
  }
  if (p.slots > 1) p.list = std::max<int64_t>(1, p.list) * p.slots;
  if (psum && p.slots > 1)
    fail(codes::no_form, "iterations that overlap pass `" + b.name + "` on in PSUM, where each sum takes a fresh tile",
         "keep what stages of a pipeline pass on in `sbuf`", place);
  if (psum && row > bank) {
    fail(codes::over_bank,
         "`" + b.name + "` in PSUM would take " + std::to_string(row * type_bytes(held(b.type))) +
             " bytes of a partition, a bank has " + std::to_string(core_.psum_bank_bytes),
         "split the loop over its columns by " + std::to_string(bank) + " or less, or keep it in `sbuf`", place);
    return;
  }
  if (p.tile == UINT32_MAX) {
    p.tile = make_tile(b.field.empty() ? b.name : b.name + "_" + b.field, held(b.type),
                       psum ? Space::psum : Space::sbuf, {partitions, row}, "`" + b.name + "`");
    k_.tiles[p.tile].list = p.list;
  }
}

}  // namespace heddle::neuron
