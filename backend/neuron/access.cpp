// Where elements lie, and how they come to a tile and leave it. One file: loads and stores are each other's mirror.
#include "backend/neuron/lowering.h"
#include "ir/array_axes.h"

namespace heddle::neuron {

using namespace ir;

Lowering::Reach Lowering::reach(BufferId buffer, const std::vector<Expr>& subs, const Axes& axes) {
  const Buffer& b = p_.buffer(buffer);
  const Placed& p = placed_[buffer.value];
  Reach out;
  std::vector<Expr> at;
  for (size_t d = 0; d < subs.size(); ++d) at.push_back(subs[d] - b.box[d].lo);
  if (!p.on_chip && b.layout) {  // packed: an axis for each coordinate of the layout
    Substitution coordinates;
    for (size_t d = 0; d < at.size(); ++d) coordinates.push_back({b.layout->from[d], at[d]});
    for (const Expr& e : b.layout->to) out.index.push_back(simple(substitute(e, coordinates)));
    return out;
  }
  if (!p.on_chip) {
    for (const AxisSpan& axis : array_axes(b)) {
      Expr index = index_constant(0);
      for (size_t d = axis.begin; d < axis.end; ++d) index = index * p.extents[d] + at[d];
      out.index.push_back(simplify(index));
    }
    if (out.index.empty()) out.index.push_back(index_constant(0));
    return out;
  }
  // A bound loop stays within a block of 128 partitions and within a tile, so its first iteration names them.
  auto first_of = [&](Expr first) {
    if (part_) first = substitute(first, {{part_->loop, part_->lo}});
    for (const For* f : bound_) first = substitute(first, {{f->loop, f->lo}});
    for (const std::optional<BoundLoop>* l : {&axes.partition, &axes.free})
      if (*l) first = substitute(first, {{(*l)->loop, (*l)->lo}});
    return simple(first);
  };
  auto number_of = [&](const Expr& at_dim, int64_t length) {
    return simple(binary(BinaryOp::div, first_of(at_dim), index_constant(length)));
  };
  for (size_t d = 0; d < at.size(); ++d)
    if (p.folds[d]) {
      Expr first = first_of(at[d]);
      at[d] = simplify(simple(binary(BinaryOp::mod, first, index_constant(p.folds[d]))) + simplify(at[d] - first));
    }
  Expr partition = index_constant(0), free = index_constant(0), which = index_constant(0), block;
  for (size_t d = 0; d < at.size(); ++d) {
    if (static_cast<int>(d) == p.partition_dim) {
      partition = at[d];
      if (p.extents[d] <= core_.partitions) continue;
      block = number_of(simplify(at[d]), core_.partitions);
      partition = partition - block * core_.partitions;
      if (!p.packed) which = which * ((p.extents[d] + core_.partitions - 1) / core_.partitions) + block;
    } else if (p.listed[d]) {
      which = which * p.extents[d] + at[d];
    } else if (p.piece && static_cast<int>(d) == p.last) {
      Expr piece = number_of(simplify(at[d]), p.piece);
      which = which * ((p.extents[d] + p.piece - 1) / p.piece) + piece;
      free = free * p.piece + at[d] - piece * p.piece;
    } else {
      free = free * p.extents[d] + at[d];
    }
  }
  if (p.slots > 1) which = which * p.slots + binary(BinaryOp::mod, var(p.slot), index_constant(p.slots));
  if (p.list) out.which = simple(which);
  if (p.packed) free = simple(block * p.free_size + simplify(free));
  out.index = {block.known() ? simple(partition) : simplify(partition), simplify(free)};
  return out;
}

int Lowering::axis_of(const Reach& r, const BoundLoop* loop) {
  int axis = -1;
  for (size_t i = 0; loop && i < r.index.size(); ++i) {
    if (!mentions(r.index[i], loop->loop)) continue;
    if (axis >= 0) fail(codes::mixed_axes, "`" + loop_name(loop->loop) + "` runs along two axes of a tensor at once");
    axis = static_cast<int>(i);
  }
  return axis;
}

Slice Lowering::slice(const Expr& index, const BoundLoop* over) {
  if (!over) return {simple(index), index_constant(1)};
  AffineIn a = affine_in(index, over->loop);
  if (!a.ok || a.coefficient <= 0) {
    fail(codes::no_form, "the subscript `" + ir::print(k_.program, index) + "` is no forward walk along `" +
                             loop_name(over->loop) + "`");
    return {index_constant(0), index_constant(1)};
  }
  return {simple(substitute(index, {{over->loop, over->lo}})), counted(over->count()), a.coefficient};
}

Value Lowering::load(BufferId buffer, const std::vector<Expr>& subs, const Axes& axes) {
  return load_inside(buffer, subs, axes, nullptr);
}

Value Lowering::load_inside(BufferId buffer, const std::vector<Expr>& subs, const Axes& axes, const Destination* to) {
  Reach r = reach(buffer, subs, axes);
  const Placed& place = placed_[buffer.value];
  Value v;
  if (place.tile == UINT32_MAX) {
    fail(codes::no_form, "`" + p_.buffer(buffer).name + "` is read before it has a place");
    return number(0);
  }
  const Tile tile = k_.tiles[place.tile];
  const BoundLoop *p = axes.partition ? &*axes.partition : nullptr, *f = axes.free ? &*axes.free : nullptr;
  int pa = axis_of(r, p), fa = axis_of(r, f);
  if (!failure_.empty()) return number(0);
  if (pa >= 0 && pa == fa) {
    fail(codes::mixed_axes, "one dim of `" + tile.name + "` runs over `" + loop_name(p->loop) + "` and `" +
                                loop_name(f->loop) + "` at once");
    return number(0);
  }
  v.type = tile.type;
  v.over_partition = pa >= 0;
  v.over_free = fa >= 0;
  Expr np = pa >= 0 ? counted(p->count()) : index_constant(1), nf = fa >= 0 ? counted(f->count()) : index_constant(1);
  auto fresh = [&](const char* hint, const Expr& partitions, const Expr& frees) {
    return whole(temporary(hint, tile.type, Space::sbuf, bound_of(partitions), bound_of(frees)), partitions, frees);
  };

  if (place.on_chip) {
    if (pa <= 0 && (fa == 1 || fa < 0)) {
      Slice rows = slice(r.index[0], pa == 0 ? p : nullptr), columns = slice(r.index[1], fa == 1 ? f : nullptr);
      if (rows.step != 1)
        fail(codes::mixed_axes, "`" + tile.name + "` is read at every " + std::to_string(rows.step) + "th partition",
             "partitions have no stride: store it the other way");
      v.view = {place.tile, {rows, columns}, r.which};
      if (pa < 0 && !is_constant(rows.start, 0)) {
        // One row of a tile: engines work lane by lane, so it is moved to lane 0 by DMA.
        View moved = fresh("row", index_constant(1), nf);
        View source = v.view;
        if (tile.space == Space::psum) {
          fail(codes::no_form, "one row of `" + tile.name + "` in PSUM is read alone");
          return v;
        }
        dma(moved, source);
        v.view = moved;
        v.temporary = true;
      }
      return v;
    }
    // The other way round: through the PE array.
    Slice rows = slice(r.index[0], fa == 0 ? f : nullptr), columns = slice(r.index[1], pa == 1 ? p : nullptr);
    View source{place.tile, {rows, columns}, r.which};
    if (is_constant(rows.count, 1) && !is_constant(rows.start, 0) && tile.space != Space::psum) {
      source = fresh("row", index_constant(1), columns.count);
      dma(source, {place.tile, {rows, columns}, r.which});
    }
    const bool direct = to && to->type == tile.type && k_.tiles[to->view.tile].space == Space::sbuf &&
                        v.over_partition == axes.partition.has_value() && v.over_free == axes.free.has_value();
    return transposed(source, tile.type, rows.count, columns.count, v.over_partition, v.over_free,
                      direct ? &to->view : nullptr);
  }

  // HBM: slices along the axes that run, points elsewhere; two axes where the array has two.
  size_t rank = r.index.size();
  View source{place.tile, {}};
  for (size_t i = 0; i < rank; ++i) {
    Slice s = slice(r.index[i], static_cast<int>(i) == pa ? p : static_cast<int>(i) == fa ? f : nullptr);
    s.point = static_cast<int>(i) != pa && static_cast<int>(i) != fa;
    source.axes.push_back(s);
  }
  auto open = [&](size_t axis) { source.axes[axis].point = false; };  // a slice of one element
  bool into = to && to->type == tile.type && v.over_partition == axes.partition.has_value() &&
              v.over_free == axes.free.has_value();
  if (pa >= 0 && fa >= 0) {
    if (pa < fa) {
      v.view = into ? to->view : fresh("in", np, nf);
      dma(v.view, source);
      v.temporary = !into;
      return v;
    }
    // Rows of the array run along the free axis: pieces of up to 128 of them are loaded as they lie, and turned.
    View out = into && k_.tiles[to->view.tile].space == Space::sbuf ? to->view : fresh("turned", np, nf);
    auto piece = [&](const Expr& at, const Expr& count) {
      View part = source;
      part.axes[fa].start = simple(source.axes[fa].start + at * source.axes[fa].step);
      part.axes[fa].count = count;
      View natural = whole(temporary("in", tile.type, Space::sbuf, bound_of(count), bound_of(np)), count, np);
      dma(natural, part);
      View target = out;
      target.axes[1].start = simple(out.axes[1].start + at * out.axes[1].step);
      target.axes[1].count = count;
      transposed(natural, tile.type, count, np, true, true, &target);
    };
    in_pieces(nf, core_.partitions, piece);
    v.view = out;
    v.temporary = !(into && out.tile == to->view.tile);
    return v;
  }
  if (pa >= 0) {
    if (static_cast<size_t>(pa) + 1 < rank) {
      open(rank - 1);
      v.view = fresh("in", np, nf);
      dma(v.view, source);
      v.temporary = true;
      return v;
    }
    if (turned_inexactly(tile)) {
      v.view = fresh("in", np, index_constant(1));
      emit("dma_copy", {{"dst", v.view}, {"src", column_in_place(source, place.tile, pa, np)}});
      v.temporary = true;
      return v;
    }
    if (rank > 1) open(rank - 2);
    View row = fresh("row", index_constant(1), np);
    dma(row, source);
    return transposed(row, tile.type, index_constant(1), np, true, false);
  }
  // A row, or one element. If partitions run as well it is the same on all of them, made once where nothing around changes it.
  if (fa >= 0) {
    if (fa > 0) open(fa - 1);
  } else {
    open(rank - 1);
    if (rank > 1) open(rank - 2);
  }
  if (!p) {
    v.view = into ? to->view : fresh("row", index_constant(1), nf);
    dma(v.view, source);
    v.temporary = !into;
    return v;
  }
  if (is_rounded(tile.type)) {  // as it is, from HBM for each partition
    if (basic()) {
      fail(codes::no_integers,
           "`" + tile.name + "` would come to all partitions through f32, which is inexact above 2^24",
           "the profile `full` loads it for each of them");
      return number(0);
    }
    Pattern all{place.tile, 1, {{0, np}, {1, nf}}, index_constant(0)};
    int64_t stride = 1;
    for (size_t d = rank; d-- > 0; stride *= tile.shape[d]) {
      all.offset = all.offset + source.axes[d].start * stride;
      if (static_cast<int>(d) == fa) all.dims[1].first = source.axes[d].step * stride;
    }
    all.offset = simple(all.offset);
    const Expr lanes = counted(p->count());
    all.dims[0].second = lanes;
    v.view = fresh("in", lanes, nf);
    v.over_partition = v.temporary = true;
    emit("dma_copy", {{"dst", v.view}, {"src", all}});
    return v;
  }
  bool constant = tile.space == Space::input;
  for (size_t i = 0; i < rank; ++i)
    if (static_cast<int>(i) != fa && !constant_value(source.axes[i].start)) constant = false;
  Slice wanted = fa >= 0 ? source.axes[fa] : Slice{index_constant(0), index_constant(1)};
  View all = source;
  if (fa >= 0 && !(constant_value(wanted.start) && constant_value(wanted.count))) {
    // The whole axis at once, if it is short.
    if (k_.tiles[place.tile].shape[fa] > 4096) constant = false;
    all.axes[fa] = {index_constant(0), index_constant(k_.tiles[place.tile].shape[fa])};
  }
  if (constant) {
    std::string key = "row " + tile.name;
    for (const Slice& s : all.axes)
      key += " " + ir::print(k_.program, s.start) + "+" + ir::print(k_.program, s.count) + "*" + std::to_string(s.step);
    auto known = constants_.find(key);
    if (known == constants_.end()) {
      BlockScope scope(*this, &prologue_);
      Axes everywhere;
      SymbolId lane = new_symbol("lane"), column = new_symbol("column");
      Expr count = fa >= 0 ? all.axes[fa].count : index_constant(1);
      everywhere.partition = BoundLoop{lane, index_constant(0), index_constant(core_.partitions)};
      if (fa >= 0) everywhere.free = BoundLoop{column, index_constant(0), count};
      Value row;
      row.type = tile.type;
      row.over_free = fa >= 0;
      remark("`" + tile.name + "` on all partitions");
      row.view = whole(temporary(tile.name, tile.type, Space::sbuf, 1, bound_of(count)), index_constant(1), count);
      dma(row.view, all);
      known = constants_.emplace(key, row_everywhere(row, everywhere)).first;
    }
    v = known->second;
    v.temporary = false;
    v.view.axes[0].count = counted(p->count());
    if (fa >= 0 && !same(all.axes[fa].count, wanted.count)) v.view.axes[1] = wanted;
    return v;
  }
  v.view = fresh("row", index_constant(1), nf);
  dma(v.view, source);
  v.temporary = true;
  return row_everywhere(v, axes);
}

// Whether the PE array would round what it turns: then it is moved element by element, which `basic` cannot say.
bool Lowering::turned_inexactly(const Tile& t) const { return !basic() && is_rounded(t.type); }

// Whether numbers of a type would lose bits on their way through f32, and it matters.
bool Lowering::is_rounded(ScalarType type) const { return !picking_ && !is_float(type) && scalar_bytes(type) == 4; }

// Elements along one axis of an array in HBM, one for each partition.
Pattern Lowering::column_in_place(const View& at, TileId tile, int axis, const Expr& count) {
  Pattern p;
  p.tile = tile;
  p.offset = index_constant(0);
  const std::vector<int64_t>& shape = k_.tiles[tile].shape;
  int64_t stride = 1;
  for (size_t d = shape.size(); d-- > 0; stride *= shape[d]) {
    p.offset = p.offset + at.axes[d].start * stride;
    if (static_cast<int>(d) == axis) p.dims = {{at.axes[d].step * stride, count}, {1, index_constant(1)}};
  }
  p.offset = simple(p.offset);
  return p;
}

// `rows` x `columns` of a tile (rows over partitions, up to 128; both ways in pieces of 128) become `columns` x `rows`.
Value Lowering::transposed(const View& from, ScalarType type, const Expr& rows, const Expr& columns,
                           bool over_partition, bool over_free, const View* target) {
  Value v;
  v.over_partition = over_partition;
  v.over_free = over_free;
  v.temporary = true;
  View source = from;
  if (!is_float(type) || scalar_bytes(type) == 1 || k_.tiles[from.tile].space == Space::psum) {
    // The PE array moves floats, from SBUF.
    if (is_rounded(type))
      fail(codes::no_integers,
           "`" + k_.tiles[from.tile].name + "` would be turned through f32, which is inexact above 2^24");
    ScalarType wide = ScalarType::f32;
    View copy = whole(temporary("wide", wide, Space::sbuf, bound_of(rows), bound_of(columns)), rows, columns);
    emit_engine("tensor_copy", {{"dst", copy}, {"src", source}});
    source = copy;
    type = wide;
  }
  v.type = type;
  View out =
      target ? *target : whole(temporary("t", type, Space::sbuf, bound_of(columns), bound_of(rows)), columns, rows);
  v.view = out;
  if (bound_of(rows) > core_.partitions)
    fail(codes::too_many_partitions, "`" + k_.tiles[from.tile].name + "` is turned with more than 128 rows at once",
         "split the loop over its rows by 128");
  View bank = whole(temporary("psum", type, Space::psum, bound_of(columns), bound_of(rows)), columns, rows);
  emit("nc_transpose", {{"dst", bank}, {"data", source}});
  emit_engine("tensor_copy", {{"dst", out}, {"src", bank}});
  return v;
}

std::optional<Destination> Lowering::destination(BufferId buffer, const std::vector<Expr>& subs, const Axes& axes) {
  const Placed& place = placed_[buffer.value];
  if (!place.on_chip) return std::nullopt;
  Reach r = reach(buffer, subs, axes);
  const BoundLoop *p = axes.partition ? &*axes.partition : nullptr, *f = axes.free ? &*axes.free : nullptr;
  int pa = axis_of(r, p), fa = axis_of(r, f);
  const Tile& tile = k_.tiles[place.tile];
  if (pa == 1 || fa == 0) {
    fail(codes::mixed_axes, "`" + tile.name + "` lies with another dim over partitions than this writes");
    return std::nullopt;
  }
  Slice rows = slice(r.index[0], pa == 0 ? p : nullptr), columns = slice(r.index[1], fa == 1 ? f : nullptr);
  if (rows.step != 1)
    fail(codes::mixed_axes,
         "`" + tile.name + "` would be written at every " + std::to_string(rows.step) + "th partition",
         "partitions have no stride: bind the inner part of the split loop");
  return Destination{{place.tile, {rows, columns}, r.which}, tile.type};
}

void Lowering::store(BufferId buffer, const std::vector<Expr>& subs, const Axes& axes, const Value& value) {
  if (store_by_data(buffer, subs, axes, value)) return;
  Reach r = reach(buffer, subs, axes);
  const Placed& place = placed_[buffer.value];
  const Tile tile = k_.tiles[place.tile];
  const BoundLoop *p = axes.partition ? &*axes.partition : nullptr, *f = axes.free ? &*axes.free : nullptr;
  int pa = axis_of(r, p), fa = axis_of(r, f);
  if (!failure_.empty()) return;
  Value v = value;
  if (v.scalar || v.type != tile.type || k_.tiles[v.view.tile].space == Space::psum ||
      v.over_partition != (p != nullptr) || v.over_free != (f != nullptr)) {
    Destination out{whole(temporary("out", tile.type, Space::sbuf, bound_of(simple(axes.partitions())),
                                    bound_of(simple(axes.frees()))),
                          counted(axes.partitions()), counted(axes.frees())),
                    tile.type};
    copy_into(out.view, v, axes);
    v.view = out.view;
    v.type = tile.type;
  }
  size_t rank = r.index.size();
  View target{place.tile, {}};
  for (size_t i = 0; i < rank; ++i) {
    Slice s = slice(r.index[i], static_cast<int>(i) == pa ? p : static_cast<int>(i) == fa ? f : nullptr);
    s.point = static_cast<int>(i) != pa && static_cast<int>(i) != fa;
    target.axes.push_back(s);
  }
  auto open = [&](size_t axis) { target.axes[axis].point = false; };
  Expr np = counted(axes.partitions()), nf = counted(axes.frees());
  if (pa >= 0 && fa >= 0 && pa > fa) {
    auto piece = [&](const Expr& at, const Expr& count) {
      View part = v.view, there = target;
      part.axes[1].start = simple(v.view.axes[1].start + at * v.view.axes[1].step);
      part.axes[1].count = count;
      there.axes[fa].start = simple(target.axes[fa].start + at * target.axes[fa].step);
      there.axes[fa].count = count;
      Value t = transposed(part, v.type, np, count, true, true);
      dma(there, converted(t, tile.type, axes).view);
    };
    return in_pieces(nf, core_.partitions, piece);
  }
  if (pa >= 0 && fa < 0) {
    if (static_cast<size_t>(pa) + 1 < rank) {
      open(rank - 1);
    } else if (turned_inexactly(tile)) {
      return emit("dma_copy", {{"dst", column_in_place(target, place.tile, pa, np)}, {"src", v.view}});
    } else {
      if (rank > 1) open(rank - 2);
      Value t = transposed(v.view, v.type, np, index_constant(1), false, true);
      if (t.type != tile.type) {
        View narrow = whole(temporary("out", tile.type, Space::sbuf, 1, bound_of(np)), index_constant(1), np);
        emit_engine("tensor_copy", {{"dst", narrow}, {"src", t.view}});
        t.view = narrow;
      }
      dma(target, t.view);
      return;
    }
  } else if (pa < 0 && fa >= 0) {
    if (fa > 0) open(fa - 1);
  } else if (pa < 0) {
    open(rank - 1);
    if (rank > 1) open(rank - 2);
  }
  dma(target, v.view);
}

// A row of one partition, or one element, on all of them: a product of a column of ones with the row.
Value Lowering::row_everywhere(const Value& row, const Axes& axes) {
  Expr np = counted(axes.partitions()), nf = row.over_free ? counted(axes.frees()) : index_constant(1);
  Value v;
  v.over_partition = true;
  v.over_free = row.over_free;
  v.temporary = true;
  if (is_rounded(row))
    fail(codes::no_integers, "`" + k_.tiles[row.view.tile].name +
                                 "` would come to all partitions through f32, which is inexact above 2^24");
  Value wide = row;
  if (row.type != ScalarType::f32 || k_.tiles[row.view.tile].space == Space::psum) {
    wide.view = whole(temporary("wide", ScalarType::f32, Space::sbuf, 1, bound_of(nf)), index_constant(1), nf);
    emit("tensor_copy", {{"dst", wide.view}, {"src", row.view}});
  }
  View ones = kernel_constant("ones");
  ones.axes[0].count = index_constant(1);
  ones.axes[1].count = np;
  View out = whole(temporary("all", ScalarType::f32, Space::sbuf, bound_of(np), bound_of(nf)), np, nf);
  int64_t width = core_.psum_bank_bytes / 4;
  auto piece = [&](const Expr& at, const Expr& count) {
    View part = wide.view, target = out;
    part.axes[1].start = simple(wide.view.axes[1].start + at * wide.view.axes[1].step);
    part.axes[1].count = count;
    target.axes[1] = {simple(at), count};
    View bank = whole(temporary("psum", ScalarType::f32, Space::psum, bound_of(np), bound_of(count)), np, count);
    emit("nc_matmul", {{"dst", bank}, {"stationary", ones}, {"moving", part}});
    emit("tensor_copy", {{"dst", target}, {"src", bank}});
  };
  in_pieces(nf, width, piece);
  v.view = out;
  return v;
}

// Tiles made once, at the head of the kernel: "ones" 128 x 128, "zeros" 128 x 512, "lane" (the partition's number) 128 x 1, "iota N" (the
// column's number) 128 x N.
View Lowering::kernel_constant(const std::string& name) {
  auto known = constants_.find(name);
  if (known != constants_.end()) return known->second.view;
  int64_t columns = name == "zeros"            ? 512
                    : name == "lane"           ? 1
                    : name.starts_with("iota") ? std::stoll(name.substr(5))
                                               : 128;
  Value v;
  {
    View zeros;
    if (basic() && name.starts_with("ones")) zeros = kernel_constant("zeros");
    BlockScope scope(*this, &prologue_);
    ScalarType type = name == "ones:bf16" ? ScalarType::bf16 : name == "ones:f16" ? ScalarType::f16 : ScalarType::f32;
    const Leaf* leaf = leaf_;
    Place place = place_;
    leaf_ = nullptr;
    std::string plain = name.substr(0, name.find_first_of(": "));
    TileId tile = make_tile(plain, type, Space::sbuf, {core_.partitions, columns}, "the constant `" + plain + "`");
    prologue_.push_back({Make{tile}, place_});
    v.view = whole(tile, index_constant(core_.partitions), index_constant(columns));
    if (basic() && !name.starts_with("ones")) {
      Table t{unique(plain + "_table"), {core_.partitions, columns}, {}};
      for (int64_t i = 0; i < core_.partitions; ++i)
        for (int64_t j = 0; j < columns; ++j)
          t.data.push_back(name == "zeros" ? 0.0f : name == "lane" ? static_cast<float>(i) : static_cast<float>(j));
      TileId input;
      {
        Tile in;
        in.name = t.name;
        in.space = Space::input;
        in.shape = t.shape;
        in.role = "the table `" + t.name + "`";
        k_.tiles.push_back(in);
        input = static_cast<TileId>(k_.tiles.size() - 1);
      }
      k_.table_tiles.push_back(input);
      View source = whole(input, index_constant(core_.partitions), index_constant(columns));
      dma(v.view, source);
      k_.tables.push_back(std::move(t));
    } else if (basic()) {
      zeros.axes[1].count = index_constant(columns);
      emit("tensor_scalar", {{"dst", v.view}, {"data", zeros}, {"op0", "nl.add"}, {"operand0", "1.0"}});
    } else if (name == "zeros" || name.starts_with("ones")) {
      emit("memset", {{"dst", v.view}, {"value", name == "zeros" ? "0.0" : "1.0"}});
    } else {
      emit("iota", {{"dst", v.view},
                    {"pattern", name == "lane" ? "[[0, 1]]" : "[[1, " + std::to_string(columns) + "]]"},
                    {"offset", "0"},
                    {"channel_multiplier", name == "lane" ? "1" : "0"}});
    }
    leaf_ = leaf;
    place_ = place;
  }
  constants_[name] = v;
  return v.view;
}

}  // namespace heddle::neuron
