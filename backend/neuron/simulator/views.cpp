// Windows of tensors: slices with steps, whole indices, reshape, permute, ap and their like. Bounds are checked here; the rules
// of access patterns (2 and 3) where an instruction uses the window.
#include <algorithm>

#include "backend/neuron/simulator/evaluator.h"

namespace heddle::neuron::sim {

int64_t View::first() const {
  int64_t at = offset;
  for (int i = 0; i < rank; ++i)
    if (stride[i] < 0) at += (size[i] - 1) * stride[i];
  return at;
}

int64_t View::limit() const {
  int64_t at = offset;
  for (int i = 0; i < rank; ++i)
    if (size[i] == 0) return offset;
    else if (stride[i] > 0) at += (size[i] - 1) * stride[i];
  return at + 1;
}

View Evaluator::whole(uint32_t index) const {
  const Tensor& t = trace_.tensors[index];
  View v{.tensor = index, .dtype = t.dtype, .rank = static_cast<int8_t>(t.shape.size())};
  int64_t stride = 1;
  for (int i = v.rank - 1; i >= 0; --i) {
    v.size[i] = v.hi[i] = t.shape[i];
    v.stride[i] = stride;
    v.axis[i] = static_cast<int8_t>(i);
    stride *= t.shape[i];
  }
  return v;
}

namespace {

std::string shape_text(const View& v) {
  std::string out = "(";
  for (int i = 0; i < v.rank; ++i) out += (i ? ", " : "") + std::to_string(v.size[i]);
  return out + (v.rank == 1 ? ",)" : ")");
}

// Dims whose strides nest as in row-major order may be merged and split again.
bool dense(const View& v, int from) {
  int64_t expect = -1;
  for (int i = v.rank - 1; i >= from; --i) {
    if (v.size[i] == 1) continue;
    if (expect >= 0 && v.stride[i] != expect) return false;
    expect = v.stride[i] * v.size[i];
  }
  return true;
}

int64_t innermost_stride(const View& v, int from) {
  for (int i = v.rank - 1; i >= from; --i)
    if (v.size[i] != 1) return v.stride[i];
  return 1;
}

}  // namespace

Value Evaluator::slice_tensor(const Expr& e, const View& view, const std::vector<Value>& index) {
  const Tensor& tensor = trace_.tensors[view.tensor];
  const bool chip = on_chip(tensor.memory);
  size_t given = 0;
  bool dots = false;
  for (const Value& v : index) {
    if (v.as<Ellipsis>()) {
      if (dots) wrong(e, "`...` twice");
      dots = true;
    } else {
      ++given;
    }
  }
  if (given > static_cast<size_t>(view.rank))
    wrong(e, std::to_string(given) + " indices for the shape " + shape_text(view));
  if (view.rows_from >= 0) refuse_rule(RuleId::free_pattern, at(e), "an access by `.ap` is not sliced again");
  View out = view;
  out.rank = 0;
  int dim = 0;
  auto keep = [&](int64_t size, int64_t stride, int d) {
    out.size[out.rank] = size;
    out.stride[out.rank] = stride;
    out.axis[out.rank] = view.axis[d];
    ++out.rank;
  };
  for (const Value& v : index) {
    if (v.as<Ellipsis>()) {
      for (size_t rest = view.rank - given; rest > 0; --rest, ++dim) keep(view.size[dim], view.stride[dim], dim);
      continue;
    }
    const int64_t n = view.size[dim];
    int64_t start = 0, count = n, step = 1;
    bool drop = false;
    if (const SliceValue* s = v.as<SliceValue>()) {
      step = s->has_step ? s->step : 1;
      if (step <= 0) wrong(e, "a slice has a positive step");
      // Python would clip a bound past the end; the kernel language has no masks, so it is a mistake there.
      auto bound = [&](bool has, int64_t value, int64_t fallback) {
        if (!has) return fallback;
        int64_t b = value < 0 ? value + n : value;
        if (b < 0 || b > n)
          wrong(e, "the bound " + std::to_string(value) + " of dim " + std::to_string(dim) + " lies outside `" +
                       tensor.name + "` of shape " + shape_text(view));
        return b;
      };
      start = bound(s->has_start, s->start, 0);
      int64_t stop = bound(s->has_stop, s->stop, n);
      count = stop > start ? (stop - start - 1) / step + 1 : 0;
    } else if (v.as<View>()) {
      refuse_rule(RuleId::removed_syntax, at(e),
                  "a tensor as an index: indirect access is `.ap(.., vector_offset=..)`");
    } else {
      int64_t i = address(at(e), v, "an index");
      start = i < 0 ? i + n : i;
      if (start < 0 || start >= n)
        wrong(e, "index " + std::to_string(i) + " of dim " + std::to_string(dim) + " lies outside `" + tensor.name +
                     "` of shape " + shape_text(view));
      count = 1;
      drop = !(chip && dim == 0);
    }
    out.offset += start * view.stride[dim];
    if (view.boxed) {
      int64_t scale = 1, own = 1;
      for (int i = static_cast<int>(tensor.shape.size()) - 1; i > view.axis[dim]; --i) own *= tensor.shape[i];
      if (own) scale = view.stride[dim] / own;
      int axis = view.axis[dim];
      out.lo[axis] = view.lo[axis] + start * scale;
      out.hi[axis] = count ? out.lo[axis] + (count - 1) * step * scale + 1 : out.lo[axis];
    }
    if (!drop) keep(count, view.stride[dim] * step, dim);
    ++dim;
  }
  for (; dim < view.rank; ++dim) keep(view.size[dim], view.stride[dim], dim);
  // On chip a view keeps its partition and one free dim.
  if (chip && out.rank == 1) {
    out.size[1] = 1, out.stride[1] = 1, out.axis[1] = static_cast<int8_t>(tensor.shape.size() - 1);
    out.rank = 2;
  }
  return {out};
}

Value Evaluator::tensor_method(const Expr& e, const View& view, const std::string& name, Arguments& arguments) {
  const Tensor& tensor = trace_.tensors[view.tensor];
  const bool chip = on_chip(tensor.memory);
  auto argument = [&](size_t position, const char* word) -> const Value* {
    size_t seen = 0;
    for (size_t i = 0; i < arguments.values.size(); ++i) {
      if (arguments.names[i] == word) return &arguments.values[i];
      if (arguments.names[i].empty() && seen++ == position) return &arguments.values[i];
    }
    return nullptr;
  };
  auto known = [&](std::initializer_list<const char*> words) {
    for (const std::string& n : arguments.names)
      if (!n.empty() && std::find(words.begin(), words.end(), n) == words.end())
        wrong(e, "`." + name + "` has no argument `" + n + "`");
    if (arguments.values.size() > words.size()) wrong(e, "too many arguments for `." + name + "`");
  };
  // Windows that repeat elements could be larger than any memory.
  auto bounded = [&](const View& v) {
    int64_t n = 1;
    for (int i = 0; i < v.rank; ++i)
      if (__builtin_mul_overflow(n, v.size[i], &n) || n > (int64_t{1} << 32)) wrong(e, "this window is too large");
  };
  View out = view;
  if (name == "reshape") {
    known({"shape"});
    const Value* shape = argument(0, "shape");
    if (!shape) wrong(e, "`.reshape` takes a shape");
    std::vector<int64_t> to = integers(at(e), *shape, "a dim");
    if (to.size() > static_cast<size_t>(max_rank) || to.empty()) wrong(e, "a shape of 1 to 6 dims");
    int64_t n = 1;
    for (int64_t d : to)
      if (d < 0 || __builtin_mul_overflow(n, d, &n)) wrong(e, "this is no shape");
    if (n != view.elements())
      wrong(e, "the shape has " + std::to_string(n) + " elements, the tensor " + std::to_string(view.elements()));
    int from = chip ? 1 : 0;
    if (chip && to[0] != view.size[0])
      refuse_rule(RuleId::partition_stride, at(e),
                  "a reshape on chip keeps the partitions: " + std::to_string(view.size[0]));
    if (!dense(view, from)) wrong(e, "the elements do not lie side by side, so they cannot be reshaped");
    int64_t stride = innermost_stride(view, from);
    out.rank = static_cast<int8_t>(to.size());
    for (int i = out.rank - 1; i >= from; --i) {
      out.size[i] = to[i], out.stride[i] = stride, stride *= to[i];
    }
    out.boxed = false;
    return {out};
  }
  if (name == "permute" || name == "transpose") {
    known({"dims"});
    const Value* order = argument(0, "dims");
    if (!order) wrong(e, "`." + name + "` takes an order of dims");
    std::vector<int64_t> to = integers(at(e), *order, "a dim");
    std::vector<bool> seen(view.rank);
    if (to.size() != static_cast<size_t>(view.rank)) wrong(e, "an order of " + std::to_string(view.rank) + " dims");
    for (int i = 0; i < view.rank; ++i) {
      if (to[i] < 0 || to[i] >= view.rank || seen[to[i]]) wrong(e, "this is no order of the dims");
      seen[to[i]] = true;
      out.size[i] = view.size[to[i]], out.stride[i] = view.stride[to[i]], out.axis[i] = view.axis[to[i]];
    }
    if (chip && to[0] != 0) refuse_rule(RuleId::partition_stride, at(e), "the partition dim stays first");
    return {out};
  }
  if (name == "broadcast") {
    known({"dim", "size"});
    const Value *d = argument(0, "dim"), *s = argument(1, "size");
    if (!d || !s) wrong(e, "`.broadcast` takes a dim and a size");
    int64_t dim = integer(at(e), *d, "a dim"), size = integer(at(e), *s, "a size");
    if (dim < 0 || dim >= view.rank || view.size[dim] != 1 || size < 0 || size > (1 << 30))
      wrong(e, "a dim of size 1 is broadcast");
    if (chip && dim == 0) refuse_rule(RuleId::partition_stride, at(e), "the partition dim is not broadcast");
    out.size[dim] = size, out.stride[dim] = 0;
    bounded(out);
    return {out};
  }
  if (name == "ap") {
    known({"pattern", "offset", "scalar_offset", "vector_offset", "indirect_dim", "dtype"});
    if (argument(5, "dtype")) wrong(e, "the simulator follows `.ap` with a pattern and offsets, not with a dtype");
    const Value* pattern = argument(0, "pattern");
    const Sequence* rows = pattern ? pattern->as<Sequence>() : nullptr;
    if (!rows || rows->items->empty() || rows->items->size() > 5)
      refuse_rule(RuleId::free_pattern, at(e), "a pattern is a list of one to five [step, size]");
    const Value* start = argument(1, "offset");
    // Of a tensor, or of a tensor in another shape.
    View all = whole(view.tensor);
    if (view.offset == 0 && view.elements() == tensor.elements) all = view;
    out = all;
    out.boxed = false;
    const int64_t skip = start ? integer(at(e), *start, "an offset") : 0;
    if (skip < 0 || skip > (int64_t{1} << 40)) wrong(e, "the offset lies outside the tensor");
    out.offset = view.offset + skip;
    out.rank = static_cast<int8_t>(rows->items->size());
    for (int i = 0; i < out.rank; ++i) {
      std::vector<int64_t> pair = integers(at(e), (*rows->items)[i], "a step or size");
      if (pair.size() != 2 || pair[1] < 1 || pair[1] > (1 << 30) || pair[0] > (int64_t{1} << 40) ||
          pair[0] < -(int64_t{1} << 40))
        wrong(e, "a row of the pattern is [step, size]");
      out.stride[i] = pair[0], out.size[i] = pair[1];
    }
    bounded(out);
    if (chip && out.size[0] > 1 && out.stride[0] != tensor.row)
      refuse_rule(RuleId::partition_stride, at(e),
                  "the first step is " + std::to_string(out.stride[0]) + "; a partition has " +
                      std::to_string(tensor.row) + " elements");
    if (const Value* by = argument(2, "scalar_offset"); by && !by->as<None>()) {
      const Value* dim = argument(4, "indirect_dim");
      const int64_t d = dim ? integer(at(e), *dim, "indirect_dim") : 0;
      if (const Value* rows = argument(3, "vector_offset"); rows && !rows->as<None>())
        wrong(e, "at most one of `scalar_offset` and `vector_offset` is given");
      if (!by->as<int64_t>() && !by->as<Register>())
        wrong(e, "the simulator follows a `scalar_offset` that is the number of a loop, not one in SBUF");
      if (d < 0 || d >= all.rank) wrong(e, "`indirect_dim` is " + std::to_string(d));
      int64_t moved = 0;
      if (__builtin_mul_overflow(address(at(e), *by, "a scalar_offset"), all.stride[d], &moved) ||
          std::abs(moved) > (int64_t{1} << 40))
        wrong(e, "the offset lies outside the tensor");
      out.offset += moved;
    }
    if (const Value* rows_at = argument(3, "vector_offset"); rows_at && !rows_at->as<None>()) {
      const View* index = rows_at->as<View>();
      const Value* dim = argument(4, "indirect_dim");
      if (!index || !on_chip(trace_.tensors[index->tensor].memory) || index->free_elements() != 1 ||
          !is_integer(index->dtype))
        wrong(e, "`vector_offset` is a (P, 1) tile of integers in SBUF");
      if (chip) refuse_rule(RuleId::dma_memory, at(e), "the tensor of an indirect access lies in HBM");
      if (dim && integer(at(e), *dim, "indirect_dim") != 0) wrong(e, "the simulator follows indirect_dim=0");
      if (index->size[0] != out.size[0])
        wrong(e, "the pattern has " + std::to_string(out.size[0]) + " rows, `vector_offset` " +
                     std::to_string(index->size[0]));
      View one = out;
      one.size[0] = 1;
      // The offset may name a row to count from: what is left of it lies in one row.
      const int64_t width = all.stride[0], from = width > 0 ? one.first() / width : 0;
      if (one.first() < 0 || width <= 0 || one.limit() > (from + 1) * width)
        wrong(e, "a row of the pattern passes the end of a row");
      out.rows_from = static_cast<int32_t>(trace_.indirect.size());
      trace_.indirect.push_back({*index, width, all.size[0] - from});
      return {out};
    }
    if (out.first() < 0 || out.limit() > tensor.elements)
      wrong(e, "the pattern reaches elements " + std::to_string(out.first()) + " to " +
                   std::to_string(out.limit() - 1) + " of " + std::to_string(tensor.elements));
    if (chip && tensor.row)  // each partition's part stays inside its row
      if (View one = out; one.size[0] = 1, one.first() / tensor.row != (one.limit() - 1) / tensor.row)
        refuse_rule(RuleId::partition_stride, at(e), "the free pattern runs over the end of a partition");
    return {out};
  }
  refuse(codes::nki_subset, at(e), "the simulator does not follow `." + name + "` of a tensor",
         "it knows slices, `.ap`, `.reshape`, `.permute`, `.broadcast` (nki/deep-dives/nki-aps.rst)");
}

}  // namespace heddle::neuron::sim
