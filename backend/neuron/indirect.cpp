// Data as an index: elements and rows that it picks, and the rows that it says where to store.
#include <cmath>

#include "backend/neuron/lowering.h"

namespace heddle::neuron {

using namespace ir;

namespace {

constexpr int64_t longest_row = 4096;  // that an element is picked from at once

// The part of a subscript that is data: an integer of an array made an index.
Expr data_of(const Expr& sub) {
  Expr found;
  walk(sub, [&](const Expr& part) {
    if (found.known()) return false;
    if (const Convert* c = part.as<Convert>(); c && mentions_load(c->value)) found = part;
    return !found.known();
  });
  return found;
}

}  // namespace

// 32-bit integers of an array in HBM as a column, an element for each partition, straight from where they lie: f32 has no part in it.
std::optional<Value> Lowering::column_of_integers(const Expr& e, const Axes& axes) {
  const Load* l = e.as<Load>();
  if (basic() || picking_ || !l || l->otherwise.known() || !axes.partition || axes.free) return std::nullopt;
  const Placed& place = placed_[l->buffer.value];
  if (place.on_chip || place.tile == UINT32_MAX || k_.tiles[place.tile].type != ScalarType::i32) return std::nullopt;
  for (const Expr& sub : l->subs)
    if (mentions_load(sub)) return std::nullopt;
  return load_inside(l->buffer, l->subs, axes, nullptr);
}

// A subscript with data in it as a number: the data, and beside it what loops add.
Value Lowering::index_of_data(const Expr& sub, const Axes& axes, int64_t extent) {
  if (!mentions_load(sub)) return eval_index(sub, axes);
  Expr data = data_of(sub), rest = data.known() ? simplify(sub - data) : sub;
  if (const Binary* b = sub.as<Binary>();
      b && mentions_load(rest) && (b->op == BinaryOp::min || b->op == BinaryOp::max || b->op == BinaryOp::add)) {
    Value left = index_of_data(b->left, axes, extent), right = index_of_data(b->right, axes, extent);
    for (Value* v : {&left, &right})
      if (!v->scalar) *v = converted(*v, ScalarType::f32, axes);
    return arith(b->op == BinaryOp::min   ? "minimum"
                 : b->op == BinaryOp::max ? "maximum"
                                          : "add",
                 left, right, axes, nullptr);
  }
  if (!data.known() || mentions_load(rest)) {
    fail(codes::no_form, "`" + ir::print(k_.program, sub) + "` as a subscript has no NKI text yet",
         "one integer of an array, and loops added to it");
    return number(0);
  }
  std::optional<Value> column = column_of_integers(data.as<Convert>()->value, axes);
  const bool before = picking_;
  picking_ = true;
  Value which = column ? *column : eval(data.as<Convert>()->value, axes);
  picking_ = before;
  which.small = true;
  if (is_constant(rest, 0) || !failure_.empty()) return which;
  if (extent > (int64_t{1} << 24))
    fail(codes::no_integers, "`" + ir::print(k_.program, sub) + "` is added up in f32, which is inexact above 2^24");
  if (!which.scalar) which = converted(which, ScalarType::f32, axes);
  return arith("add", which, eval_index(rest, axes), axes, nullptr);
}

// The rows of an array in HBM that data picks along one of its dims, as one access of software DGE: it adds the index to the address. None where
// the array lies on chip or in another order, or what is left of a row is no forward walk.
std::optional<Pattern> Lowering::rows_by_data(BufferId buffer, const std::vector<Expr>& subs, size_t dim,
                                              const Axes& axes, bool over_free) {
  const Buffer& b = p_.buffer(buffer);
  const Placed& place = placed_[buffer.value];
  if (basic() || place.on_chip || place.tile == UINT32_MAX || b.layout || !is_constant(simplify(b.box[dim].lo), 0))
    return std::nullopt;
  Pattern p;
  p.tile = place.tile;
  int64_t stride = 1;
  Expr offset = index_constant(0);
  for (size_t d = subs.size(); d-- > 0; stride *= place.extents[d]) {
    if (d == dim) {
      p.columns = stride;
      continue;
    }
    if (d < dim && axes.free && mentions(subs[d], axes.free->loop)) return std::nullopt;
    if (mentions_load(subs[d])) return std::nullopt;
    offset = offset + (subs[d] - b.box[d].lo) * stride;
  }
  int64_t step = 1;
  Expr frees = index_constant(1);
  if (over_free) {
    AffineIn a = affine_in(simplify(offset), axes.free->loop);
    if (!a.ok || a.coefficient <= 0) return std::nullopt;
    step = a.coefficient;
    offset = substitute(offset, {{axes.free->loop, axes.free->lo}});
    frees = counted(axes.frees());
  }
  // A partition's own place in the other dims is so many rows more.
  Expr sub = subs[dim];
  int64_t extent = place.extents[dim];
  if (axes.partition && mentions(offset, axes.partition->loop)) {
    AffineIn a = affine_in(simplify(offset), axes.partition->loop);
    if (!a.ok || a.coefficient % p.columns) return std::nullopt;
    sub = sub + var(axes.partition->loop) * (a.coefficient / p.columns);
    offset = a.rest;
    extent = stride / p.columns;
  }
  Axes column = axes;
  column.free.reset();
  Value which = in_sbuf(index_of_data(sub, column, extent), column);
  if (which.scalar) return std::nullopt;
  if (which.type != ScalarType::i32 && which.type != ScalarType::u32) which = converted(which, ScalarType::i32, column);
  p.dims = {{p.columns, which.view.axes[0].count}, {step, frees}};
  p.offset = simple(offset);
  p.rows = which.view;
  return p;
}

// A read by data that gives another value where it is outside: one inside is read there, and not taken.
Value Lowering::picked_or(const Load& l, const Axes& axes, const Destination* to) {
  const Buffer& b = p_.buffer(l.buffer);
  Expr inside;
  std::vector<Expr> subs = l.subs;
  for (size_t d = 0; d < subs.size(); ++d) {
    const Expr lo = b.box[d].lo, hi = b.box[d].hi;
    if (placed_[l.buffer.value].extents[d] > (int64_t{1} << 24) && mentions_load(subs[d]))
      fail(codes::no_integers,
           "`" + ir::print(k_.program, subs[d]) + "` is compared in f32, which is inexact above 2^24");
    for (const Expr& e : {less_equal(lo, subs[d]), less(subs[d], hi)})
      if (!prove(facts_, e)) inside = inside.known() ? binary(BinaryOp::logical_and, inside, e) : e;
    if (mentions_load(subs[d])) subs[d] = max(lo, min(subs[d], hi - 1));
  }
  const Expr read = ir::load(b.type, l.buffer, subs);
  return inside.known() ? choose(inside, read, l.otherwise, axes, to, held(b.type)) : eval(read, axes, to);
}

// A subscript that is data. A row for each partition is one transfer; of a row that lies along the partition the whole dim is loaded and the element
// picked where positions agree.
Value Lowering::load_picked(const Load& l, size_t dim, const Axes& axes, const Destination* to) {
  const Buffer& b = p_.buffer(l.buffer);
  if (axes.free && mentions(l.subs[dim], axes.free->loop)) return picked_along(l, dim, axes, to);
  for (size_t d = 0; d < l.subs.size(); ++d)
    if (d != dim && axes.free && mentions(l.subs[d], axes.free->loop)) return rows_picked(l, dim, axes, to);
  const bool large = !is_float(b.type) && scalar_bytes(b.type) > 2;
  Axes column = axes;
  column.free.reset();
  if (large || l.subs.size() == 1)  // elements of a vector, and what f32 would round
    if (std::optional<Pattern> p = rows_by_data(l.buffer, l.subs, dim, column, false)) return gathered(*p, column, to);
  if (!failure_.empty()) return number(0);
  if (large) {
    fail(codes::no_integers,
         "`" + ir::print(k_.program, l.subs[dim]) + "` picks 32-bit integers along a row, which f32 would round");
    return number(0);
  }
  Value which = index_of_data(l.subs[dim], column, placed_[l.buffer.value].extents[dim]);
  which.temporary = false;
  const Expr lo = b.box[dim].lo, hi = b.box[dim].hi, step = index_constant(longest_row);
  if (bound_of(simple(hi - lo)) <= longest_row) return picked_in_row(l, dim, which, lo, hi, axes);
  // A long row in pieces: of those that do not hold the element comes what changes nothing.
  Value first = picked_in_row(l, dim, which, lo, lo + step, axes);
  if (!failure_.empty()) return number(0);
  SymbolId t = new_symbol("t");
  push_loop(t, index_constant(1), simple(ceildiv(hi - lo, step)), [&] {
    const Expr from = lo + var(t) * longest_row;
    Value next = picked_in_row(l, dim, which, from, min(hi, from + step), axes);
    if (!failure_.empty()) return;
    const Destination there{first.view, ScalarType::f32};
    arith(basic() ? "maximum" : "add", first, next, column, &there);
  });
  return first;
}

// An element of a row from `lo` to `hi`, as a column; where it is none of them, 0, and in `basic` minus infinity.
Value Lowering::picked_in_row(const Load& l, size_t dim, const Value& which_place, const Expr& lo, const Expr& hi,
                              const Axes& axes) {
  SymbolId position = new_symbol("position");
  Axes row = axes, column = axes;
  column.free.reset();
  row.free = BoundLoop{position, simple(lo), simple(hi)};
  counted(row.free->count());
  facts_.add_range(position, row.free->lo, row.free->hi);
  std::vector<Expr> subs = l.subs;
  subs[dim] = var(position);
  Value all = load_inside(l.buffer, subs, row, nullptr);
  Value at = eval_index(var(position) - row.free->lo, row);
  if (!failure_.empty()) return number(0);
  Value which = which_place;
  if (!is_constant(row.free->lo, 0)) which = arith("subtract", which, eval_index(row.free->lo, {}), column, nullptr);
  if (!basic()) {  // copied over zeros where the positions agree: what stands elsewhere is not computed with
    Value hit = spread(arith("equal", at, which, row, nullptr, ScalarType::u8), row, all.over_partition, true);
    if (hit.type != ScalarType::u8) hit = converted(hit, ScalarType::u8, row);
    Value picked = all;
    picked.view = space_for(row, all.over_partition, true, all.type, nullptr, {});
    picked.temporary = true;
    fill(picked.view, 0);
    emit_engine("tensor_copy_predicated", {{"dst", picked.view}, {"src", all.view}, {"predicate", hit.view}});
    return reduced_over_free(picked, "add", row);
  }
  // The greatest of min(element, limit), the limit infinite where the positions agree, else minus infinity: made by a product that overflows.
  Value off = arith("subtract", at, which, row, nullptr);
  Value kept = off;
  kept.temporary = false;
  Value size = arith("maximum", scaled(kept, "multiply", "-1.0", row), off, row, nullptr);
  Value limit = scaled(size, "multiply", number_text(-std::ldexp(1.0, 127)), row);
  limit = scaled(limit, "add", number_text(std::ldexp(1.0, 126)), row);
  limit = scaled(limit, "multiply", "4.0", row);
  return reduced_over_free(arith("minimum", all, limit, row, nullptr), "maximum", row);
}

// Elements that data picks along the free axis. In `full` GpSimd gathers them from rows on chip; in `basic` they are rows of what is turned, where the
// index is the same on all partitions, else one column after the other.
Value Lowering::picked_along(const Load& l, size_t dim, const Axes& axes, const Destination* to) {
  const Buffer& b = p_.buffer(l.buffer);
  const BoundLoop& free = *axes.free;
  bool elsewhere = false;  // whether the row itself is another one in each column
  for (size_t d = 0; d < l.subs.size(); ++d) elsewhere |= d != dim && mentions(l.subs[d], free.loop);
  const Expr np = counted(axes.partitions()), nf = counted(axes.frees());
  const ScalarType type = held(b.type);
  auto result = [&](ScalarType of, bool direct) {
    Value v;
    v.type = of;
    v.over_partition = axes.partition.has_value();
    v.over_free = true;
    direct = direct && to && to->type == of && k_.tiles[to->view.tile].space == Space::sbuf;
    v.view = space_for(axes, v.over_partition, true, of, direct ? to : nullptr, {});
    v.temporary = !direct;
    return v;
  };
  if (!basic() && !elsewhere && engine_.empty()) {
    constexpr int64_t most = 512;  // of one group of instructions
    SymbolId position = new_symbol("position");
    Axes row = axes;
    row.free = BoundLoop{position, b.box[dim].lo, b.box[dim].hi};
    std::vector<Expr> subs = l.subs;
    subs[dim] = var(position);
    Value data = in_sbuf(load_inside(l.buffer, subs, row, nullptr), row);
    Value which = index_of_data(l.subs[dim] - b.box[dim].lo, axes, placed_[l.buffer.value].extents[dim]);
    if (!failure_.empty()) return number(0);
    data = in_sbuf(spread(data, row, axes.partition.has_value(), true), row);
    which = spread(which, axes, axes.partition.has_value(), true);
    if (which.type != ScalarType::u32) which = converted(which, ScalarType::u32, axes);
    which = in_sbuf(which, axes);
    if (!failure_.empty()) return number(0);
    Value out = result(data.type, true);
    auto piece = [&](const Expr& at, const Expr& count) {
      View there = out.view, index = which.view;
      there.axes[1] = {simple(there.axes[1].start + at * there.axes[1].step), count, there.axes[1].step};
      index.axes[1] = {simple(index.axes[1].start + at), count};
      emit("nc_n_gather", {{"dst", there}, {"data", data.view}, {"indices", index}});
    };
    in_pieces(nf, most, piece);
    return out;
  }
  if (!elsewhere && axes.partition && !mentions(l.subs[dim], axes.partition->loop) && is_float(b.type)) {
    Value out;
    auto piece = [&](const Expr& at, const Expr& count) {
      part_ = BoundLoop{free.loop, simple(free.lo + at), simple(free.lo + at + count)};
      const Axes turned{*part_, axes.partition};
      Value rows = in_sbuf(spread(load_picked(l, dim, turned, nullptr), turned, true, true), turned);
      part_.reset();
      if (!failure_.empty()) return;
      if (!out.over_free) out = result(rows.type, true);
      View there = out.view;
      there.axes[1] = {simple(there.axes[1].start + at * there.axes[1].step), count, there.axes[1].step};
      transposed(rows.view, rows.type, count, np, true, true, &there);
    };
    if (bound_of(nf) > core_.partitions)
      out = result(type == ScalarType::f32 || basic() ? ScalarType::f32 : type, true);
    in_pieces(nf, core_.partitions, piece);
    return out;
  }
  const bool narrow = is_float(b.type) ? type == ScalarType::f32 : scalar_bytes(type) > 2;
  Value out = result(narrow ? type : ScalarType::f32, true);
  SymbolId t = new_symbol("t");
  push_loop(t, index_constant(0), nf, [&] {
    std::vector<Expr> subs;
    for (const Expr& e : l.subs) subs.push_back(substitute(e, {{free.loop, free.lo + var(t)}}));
    const Expr one = ir::load(b.type, l.buffer, subs);
    Axes column = axes;
    column.free.reset();
    std::vector<Loaded> kept = std::move(loaded_);
    loaded_.clear();
    Value v = eval(one, column);
    loaded_ = std::move(kept);
    View there = out.view;
    there.axes[1] = {simple(there.axes[1].start + var(t) * there.axes[1].step), index_constant(1)};
    copy_into(there, v, column);
  });
  return out;
}

Value Lowering::gathered(const Pattern& from, const Axes& axes, const Destination* to) {
  const Tile tile = k_.tiles[from.tile];
  const Expr np = from.dims[0].second, nf = from.dims[1].second;
  Value v;
  v.type = tile.type;
  v.over_partition = axes.partition && same(np, counted(axes.partitions()));
  v.over_free = axes.free.has_value();
  const bool into = to && to->type == tile.type && v.over_partition == axes.partition.has_value() &&
                    k_.tiles[to->view.tile].space == Space::sbuf;
  v.view = into ? to->view : whole(temporary("rows", tile.type, Space::sbuf, bound_of(np), bound_of(nf)), np, nf);
  v.temporary = !into;
  emit("dma_copy", {{"dst", v.view}, {"src", from}});
  return v;
}

// Rows picked by data, one for each partition. Of a table on chip, and in `basic`, a product of the table with a matrix of ones where position and
// index agree, 128 rows of the table at a time.
Value Lowering::rows_picked(const Load& l, size_t dim, const Axes& axes, const Destination* to) {
  const Buffer& b = p_.buffer(l.buffer);
  if (std::optional<Pattern> p = rows_by_data(l.buffer, l.subs, dim, axes, true)) return gathered(*p, axes, to);
  if (!failure_.empty()) return number(0);
  if (!axes.partition || !mentions_load(l.subs[dim]) || !is_float(b.type)) {
    fail(codes::no_form,
         "`" + ir::print(k_.program, l.subs[dim]) + "` picks rows that are no floats, which has no NKI text yet");
    return number(0);
  }
  if (bound_of(simple(axes.frees())) > core_.psum_bank_bytes / 4) {
    fail(codes::over_bank,
         "rows that data picks are made in PSUM, " + std::to_string(core_.psum_bank_bytes / 4) + " numbers at once",
         "split the loop along them by 512 or less");
    return number(0);
  }
  // The indices along a row, on all partitions of the table's block.
  Axes along{std::nullopt, axes.partition};
  Value which = index_of_data(l.subs[dim], along, placed_[l.buffer.value].extents[dim]);
  SymbolId block = new_symbol("block"), row = new_symbol("row");
  Expr rows = simple(extent(b.box[dim].lo, b.box[dim].hi)), np = counted(axes.partitions()), nf = counted(axes.frees());
  Axes everywhere{
      BoundLoop{row, index_constant(0), index_constant(std::min<int64_t>(core_.partitions, bound_of(rows)))},
      axes.partition};
  which = spread(which, everywhere, true, true);
  if (which.type != ScalarType::f32) which = converted(which, ScalarType::f32, everywhere);
  which.temporary = false;
  View psum = whole(temporary("psum", ScalarType::f32, Space::psum, bound_of(np), bound_of(nf)), np, nf);
  push_loop(block, index_constant(0), simple(ceildiv(rows, index_constant(core_.partitions))), [&] {
    Expr begin = var(block) * core_.partitions;
    Expr count = counted(min(index_constant(core_.partitions), rows - begin));
    Axes table{BoundLoop{row, index_constant(0), count}, axes.free}, hits{table.partition, axes.partition};
    facts_.add_range(row, index_constant(0), count);
    std::vector<Expr> subs = l.subs;
    subs[dim] = b.box[dim].lo + begin + var(row);
    Value values = spread(in_sbuf(load_inside(l.buffer, subs, table, nullptr), table), table, true, true);
    if (!failure_.empty()) return;
    // What is not picked counts 0 times: it is cut to what is finite, in f32, so that no number of the table's own type is.
    if (values.type != ScalarType::f32) values = converted(values, ScalarType::f32, table);
    values = finite(values, table);
    Value mine = which;
    mine.view.axes[0].count = count;
    Value hit = compare(BinaryOp::eq, mine, eval_index(begin + var(row), hits), hits, true);
    hit = spread(hit, hits, true, true);
    emit("nc_matmul", {{"dst", psum}, {"stationary", in_sbuf(hit, hits).view}, {"moving", values.view}});
  });
  Value out;
  out.view = psum;
  out.over_partition = out.over_free = true;
  // The greatest number that was picked was an infinity: what it has over the second greatest overflows.
  const std::string second = number_text(std::ldexp(16777214.0, 104)), far = number_text(std::ldexp(1.0, 127));
  auto beyond = [&](const char* op, const char* cut) {
    Value v = scaled(scaled(scaled(out, op, second, axes), cut, "0.0", axes), "multiply", far, axes);
    return v;
  };
  Value above = beyond("subtract", "maximum"), below = beyond("add", "minimum");
  return arith("add", arith("add", above, below, axes, nullptr), out, axes, to);
}

// A reduction into computed cells, which data may name. All of the array holds the identity first; then one row after the other is read, combined and put back:
// the order of the host.
void Lowering::scatter(const Reduce& r, double identity) {
  const BufferId buffer = r.windows[0].buffer;
  const Placed& place = placed_[buffer.value];
  const Tile tile = k_.tiles[place.tile];
  if (basic() || place.on_chip) {
    fail(codes::no_form,
         "`" + p_.buffer(buffer).name + "` is combined in computed cells, which has no NKI text " +
             (basic() ? "in `basic`" : "on chip"),
         basic() ? "the profile `full` reads, combines and stores a row after the other" : "leave it in HBM");
    return;
  }
  int64_t elements = 1;
  for (int64_t d : tile.shape) elements *= d;
  const int64_t width = std::min<int64_t>(elements, 2048), rows = (elements + width - 1) / width,
                last = elements - (rows - 1) * width;
  if (elements == 0) return;
  View fresh = whole(temporary("identity", tile.type, Space::sbuf, 1, width), index_constant(1), index_constant(width));
  fill(fresh, identity);
  auto put = [&](const Expr& at, int64_t count) {
    Pattern to;
    to.tile = place.tile;
    to.dims = {{width, index_constant(1)}, {1, index_constant(count)}};
    to.offset = simple(at);
    View from = fresh;
    from.axes[1].count = index_constant(count);
    emit("dma_copy", {{"dst", to}, {"src", from}});
  };
  SymbolId t = new_symbol("t");
  if (rows > 1) push_loop(t, index_constant(0), index_constant(rows - 1), [&] { put(var(t) * width, width); });
  put(index_constant((rows - 1) * width), last);
  Region region;
  region.reduce = &r;
  region.mode = Region::Mode::scatter;
  regions_.push_back(region);
  body(r.body);
  regions_.pop_back();
}

void Lowering::combine_by_data(const Leaf& l, const Assign& a, const std::string& op, const Axes& axes) {
  const std::vector<Expr> subs = substitute(a.subs, point_of(p_, l));
  const Expr value = substitute(a.value, point_of(p_, l));
  size_t dim = subs.size();
  bool over_free = false;
  for (size_t d = 0; d < subs.size(); ++d) {
    if (mentions_load(subs[d])) dim = d;
    over_free |= axes.free && mentions(subs[d], axes.free->loop);
  }
  if (dim == subs.size() && !axes.partition) {  // cells that loops name
    Value row = load_inside(a.buffer, subs, axes, nullptr), more = eval(value, axes);
    if (failure_.empty()) store(a.buffer, subs, axes, arith(op, row, more, axes, nullptr));
    return;
  }
  std::optional<Pattern> from;
  if (dim < subs.size() && !axes.partition && over_free == axes.free.has_value())
    from = rows_by_data(a.buffer, subs, dim, axes, over_free);
  if (!from) {
    fail(codes::no_form,
         "`" + p_.buffer(a.buffer).name + "` is combined in computed cells, which has no NKI text in this form yet",
         "bind what is left of a row to `free`, and nothing to `partition`");
    return;
  }
  Value row = gathered(*from, axes, nullptr), more = eval(value, axes);
  if (!failure_.empty()) return;
  row.over_free = over_free;
  Value sum = arith(op, row, more, axes, nullptr);
  View out = whole(temporary("out", k_.tiles[from->tile].type, Space::sbuf, 1, bound_of(simple(axes.frees()))),
                   index_constant(1), counted(axes.frees()));
  copy_into(out, sum, axes);
  emit("dma_copy", {{"dst", *from}, {"src", out}});
}

// A store to a row that data names.
bool Lowering::store_by_data(BufferId buffer, const std::vector<Expr>& subs, const Axes& axes, const Value& value) {
  size_t dim = subs.size();
  for (size_t d = 0; d < subs.size(); ++d)
    if (mentions_load(subs[d])) dim = d;
  if (dim == subs.size()) return false;
  bool over_free = false;
  for (size_t d = 0; axes.free && d < subs.size(); ++d) over_free |= mentions(subs[d], axes.free->loop);
  std::optional<Pattern> to;
  if (over_free == axes.free.has_value() && !(axes.free && mentions(subs[dim], axes.free->loop)))
    to = rows_by_data(buffer, subs, dim, axes, over_free);
  if (to && !same(to->dims[0].second, counted(axes.partitions()))) to.reset();
  if (!to) {
    fail(codes::no_form,
         "`" + ir::print(k_.program, subs[dim]) + "` says where to store, which has no NKI text " +
             (basic() ? "in `basic`" : "in this form yet"),
         basic() ? "the profile `full` stores by software DGE"
                 : "bind the loop over rows to `partition` and what is left of a row to `free`");
    return true;
  }
  const Tile tile = k_.tiles[to->tile];
  Value v = value;
  if (v.scalar || v.type != tile.type || k_.tiles[v.view.tile].space == Space::psum ||
      v.over_partition != axes.partition.has_value() || v.over_free != over_free) {
    View out = whole(
        temporary("out", tile.type, Space::sbuf, bound_of(simple(axes.partitions())), bound_of(simple(axes.frees()))),
        counted(axes.partitions()), counted(axes.frees()));
    copy_into(out, v, axes);
    v.view = out;
  }
  emit("dma_copy", {{"dst", *to}, {"src", v.view}});
  return true;
}

}  // namespace heddle::neuron
