// Calls of instructions: windows as views, the operands of one NKI call.
#include "backend/neuron/instr_rows.h"
#include "backend/neuron/lowering.h"
#include "ir/bound.h"

namespace heddle::neuron {

using namespace ir;

namespace {

const InstrRow rows[] = {
    {"nc_matmul_bf16",
     "instr nc_matmul_bf16(inout dst: f32[m <= 128, n <= 512] in psum, stationary: bf16[k <= 128, m] in sbuf, moving: "
     "bf16[k, n] in "
     "sbuf) numerics reassociates {\n  dst[i, j] sum= f32(stationary[p, i]) * f32(moving[p, j])\n}\n",
     "nc_matmul",
     {"dst", "stationary", "moving"},
     {},
     InstrRow::Kind::plain},
    {"nc_matmul_f16",
     "instr nc_matmul_f16(inout dst: f32[m <= 128, n <= 512] in psum, stationary: f16[k <= 128, m] in sbuf, moving: "
     "f16[k, n] in "
     "sbuf) numerics reassociates {\n  dst[i, j] sum= f32(stationary[p, i]) * f32(moving[p, j])\n}\n",
     "nc_matmul",
     {"dst", "stationary", "moving"},
     {},
     InstrRow::Kind::plain},
    {"nc_matmul_f32",
     "instr nc_matmul_f32(inout dst: f32[m <= 128, n <= 512] in psum, stationary: f32[k <= 128, m] in sbuf, moving: "
     "f32[k, n] in "
     "sbuf) numerics reassociates {\n  dst[i, j] sum= stationary[p, i] * moving[p, j]\n}\n",
     "nc_matmul",
     {"dst", "stationary", "moving"},
     {},
     InstrRow::Kind::plain},
    {"nc_transpose_bf16",
     "instr nc_transpose_bf16(inout dst: bf16[n <= 128, m <= 128] in psum, data: bf16[m, n] in sbuf) numerics exact "
     "{\n  dst[j, i] = "
     "data[i, j]\n}\n",
     "nc_transpose",
     {"dst", "data"},
     {},
     InstrRow::Kind::plain},
    {"nc_transpose_f32",
     "instr nc_transpose_f32(inout dst: f32[n <= 128, m <= 128] in psum, data: f32[m, n] in sbuf) numerics exact {\n  "
     "dst[j, i] = "
     "data[i, j]\n}\n",
     "nc_transpose",
     {"dst", "data"},
     {},
     InstrRow::Kind::plain},
    {"dma_transpose_bf16",
     "instr dma_transpose_bf16(inout dst: bf16[m <= 128, n <= 128] in sbuf layout(m, n) -> (n, m), src: bf16[m, n] in "
     "dram) numerics exact "
     "{\n  dst[i, j] = src[i, j]\n}\n",
     "dma_transpose",
     {"dst", "src"},
     {},
     InstrRow::Kind::turned},
    {"dma_transpose_f16",
     "instr dma_transpose_f16(inout dst: f16[m <= 128, n <= 128] in sbuf layout(m, n) -> (n, m), src: f16[m, n] in "
     "dram) numerics exact {\n  dst[i, "
     "j] = src[i, j]\n}\n",
     "dma_transpose",
     {"dst", "src"},
     {},
     InstrRow::Kind::turned},
    {"dma_transpose_wide_bf16",
     "instr dma_transpose_wide_bf16(inout dst: bf16[m <= 512, n <= 128] in sbuf layout(m, n) -> (n, m), src: bf16[m, "
     "n] in dram) numerics exact {\n  dst[i, j] = src[i, j]\n}\n",
     "dma_transpose",
     {"dst", "src"},
     {},
     InstrRow::Kind::turned},
    {"scalar_tensor_tensor_f32",
     "instr scalar_tensor_tensor_f32(inout dst: f32[m <= 128, n] in sbuf, data: f32[m, n] in sbuf, operand0: f32[m] in "
     "sbuf, operand1: "
     "f32[m, n] in sbuf) numerics exact {\n  dst[i, j] = data[i, j] * operand0[i] + operand1[i, j]\n}\n",
     "scalar_tensor_tensor",
     {"dst", "data", "operand0", "operand1"},
     {{"op0", "nl.multiply"}, {"op1", "nl.add"}},
     InstrRow::Kind::multiply_add},
    {"activation_exp_sum_f32",
     "instr activation_exp_sum_f32(inout sum: f32[m <= 128] in sbuf, data: f32[m, n] in sbuf, less: f32[m] in sbuf) "
     "numerics "
     "reassociates {\n  sum[i] sum= exp(data[i, j] - less[i])\n}\n",
     "activation",
     {"reduce_res", "data", "bias"},
     {},
     InstrRow::Kind::summed_exp},
    {"bn_spread_f32",
     "instr bn_spread_f32(inout spread: f32[m <= 128] in sbuf, data: f32[m, n] in sbuf, from: f32[m] in sbuf) numerics "
     "reassociates {\n  spread[i] sum= (data[i, j] - from[i]) * (data[i, j] - from[i])\n}\n",
     "bn_stats",
     {"dst", "data", "from"},
     {},
     InstrRow::Kind::summed_spread},
    {"bn_spread_bf16",
     "instr bn_spread_bf16(inout spread: f32[m <= 128] in sbuf, data: bf16[m, n] in sbuf, from: f32[m] in sbuf) "
     "numerics reassociates {\n  spread[i] sum= (f32(data[i, j]) - from[i]) * (f32(data[i, j]) - from[i])\n}\n",
     "bn_stats",
     {"dst", "data", "from"},
     {},
     InstrRow::Kind::summed_spread},
    {"bn_spread_f16",
     "instr bn_spread_f16(inout spread: f32[m <= 128] in sbuf, data: f16[m, n] in sbuf, from: f32[m] in sbuf) numerics "
     "reassociates {\n  spread[i] sum= (f32(data[i, j]) - from[i]) * (f32(data[i, j]) - from[i])\n}\n",
     "bn_stats",
     {"dst", "data", "from"},
     {},
     InstrRow::Kind::summed_spread},
    {"activation_sum_f32",
     "instr activation_sum_f32(inout sum: f32[m <= 128] in sbuf, data: f32[m, n] in sbuf) numerics reassociates {\n  "
     "sum[i] sum= data[i, j]\n}\n",
     "activation",
     {"reduce_res", "data"},
     {},
     InstrRow::Kind::summed},
    {"activation_sum_bf16",
     "instr activation_sum_bf16(inout sum: f32[m <= 128] in sbuf, data: bf16[m, n] in sbuf) numerics reassociates {\n  "
     "sum[i] sum= f32(data[i, j])\n}\n",
     "activation",
     {"reduce_res", "data"},
     {},
     InstrRow::Kind::summed},
    {"activation_sum_f16",
     "instr activation_sum_f16(inout sum: f32[m <= 128] in sbuf, data: f16[m, n] in sbuf) numerics reassociates {\n  "
     "sum[i] sum= f32(data[i, j])\n}\n",
     "activation",
     {"reduce_res", "data"},
     {},
     InstrRow::Kind::summed},
};

}  // namespace

std::span<const InstrRow> instr_rows() { return rows; }

const InstrRow* spelled(const Program& program, const Instr& instr) {
  for (const InstrRow& row : rows)
    if (instr.name == row.name && ir::print_instr(instr, program) == row.meaning) return &row;
  return nullptr;
}

// The slices of a window: a single index drops its axis of an array in HBM.
View Lowering::window_view(const Window& w) {
  const Placed& p = placed_[w.buffer.value];
  std::vector<Expr> at;
  for (const Range& r : w.ranges) at.push_back(r.lo);
  Reach here = reach(w.buffer, at);
  View v{p.tile, {}, here.which};
  const std::vector<size_t> dims = operand_dims(w);
  if (!p.on_chip) {
    if (here.index.size() != w.ranges.size() || p_.buffer(w.buffer).layout)
      fail(codes::no_form, "an instruction reads `" + p_.buffer(w.buffer).name + "`, whose dims are not its axes");
    for (size_t d = 0; d < here.index.size() && d < w.ranges.size(); ++d) {
      const bool point = std::find(dims.begin(), dims.end(), d) == dims.end();
      v.axes.push_back({simple(here.index[d]),
                        point ? index_constant(1) : counted(extent(w.ranges[d].lo, w.ranges[d].hi)), 1, point});
    }
    return v;
  }
  // On chip: the dim over partitions, and one along them.
  Expr rows = index_constant(1), columns = index_constant(1);
  for (size_t d : dims) {
    Expr n = counted(extent(w.ranges[d].lo, w.ranges[d].hi));
    if (static_cast<int>(d) == p.partition_dim) rows = n;
    else if (static_cast<int>(d) == p.last || is_constant(columns, 1)) columns = n;
  }
  v.axes = {{simple(here.index[0]), rows}, {simple(here.index[1]), columns}};
  return v;
}

void Lowering::call(const StmtRef&, const Call& c) {
  const Instr* instr = p_.instr(c.instr);
  const InstrRow* row = instr ? spelled(p_, *instr) : nullptr;
  const bool own = !row && c.instr == "nc_matmul" && c.windows.size() == 3;  // of the text, by its name
  if (!row && !own) {
    fail(codes::no_form, "the instruction `" + c.instr + "` has no NKI text");
    return;
  }
  std::vector<View> views;
  for (const Window& w : c.windows) views.push_back(window_view(w));
  if (!failure_.empty()) return;
  std::vector<Expr> some;
  for (const View& v : views)
    for (const Slice& s : v.axes)
      if (!prove(facts_, less_equal(index_constant(1), s.count))) some.push_back(less(index_constant(0), s.count));
  guarded(some, [&] {
    if (own) return emit("nc_matmul", {{"dst", views[0]}, {"stationary", views[1]}, {"moving", views[2]}});
    if (row->kind == InstrRow::Kind::turned && (basic() || core_.version < 3)) return turned(views);
    if (row->kind == InstrRow::Kind::summed_exp) return summed_exp(views);
    if (row->kind == InstrRow::Kind::summed_spread) return summed_spread(views);
    if (row->kind == InstrRow::Kind::summed) return summed(views);
    if (row->kind == InstrRow::Kind::multiply_add && basic()) return multiply_add(views);
    std::vector<Argument> arguments;
    for (size_t i = 0; i < views.size(); ++i) arguments.push_back({row->keywords[i], views[i]});
    for (const auto& [keyword, value] : row->more) arguments.push_back({keyword, std::string(value)});
    emit(std::string(row->nki), std::move(arguments));
  });
}

// Tiles beside the operands of a row that is more than one instruction, with the rows of its second operand.
View Lowering::beside(const std::vector<View>& views, const char* hint, const Expr& columns) {
  const Expr rows = views[1].axes[0].count;
  return whole(temporary(hint, ScalarType::f32, Space::sbuf, bound_of(rows), bound_of(columns)), rows, columns);
}

// The exponentials themselves go to a tile that nobody reads; the engine adds a column to what it makes, so what is taken off is turned first.
void Lowering::summed_exp(const std::vector<View>& views) {
  const Expr one = index_constant(1);
  View made = beside(views, "made", views[1].axes[1].count), part = beside(views, "part", one);
  if (basic()) {
    emit("tensor_scalar", {{"dst", made}, {"data", views[1]}, {"op0", "nl.subtract"}, {"operand0", views[2]}});
    emit("activation", {{"dst", made}, {"op", "nl.exp"}, {"data", made}});
    emit("tensor_reduce", {{"dst", part}, {"op", "nl.add"}, {"data", made}, {"axis", "1"}});
  } else {
    View minus = beside(views, "minus", one);
    emit("tensor_scalar", {{"dst", minus}, {"data", views[2]}, {"op0", "nl.multiply"}, {"operand0", "-1.0"}});
    emit("activation", {{"dst", made},
                        {"op", "nl.exp"},
                        {"data", views[1]},
                        {"bias", minus},
                        {"reduce_op", "nl.add"},
                        {"reduce_res", part},
                        {"reduce_cmd", "nisa.reduce_cmd.reset_reduce"}});
  }
  emit("tensor_tensor", {{"dst", views[0]}, {"data1", views[0]}, {"data2", part}, {"op", "nl.add"}});
}

// A sum that the Scalar engine makes while it copies, so that the Vector engine is free meanwhile.
void Lowering::summed(const std::vector<View>& views) {
  View part = beside(views, "part", index_constant(1));
  if (basic()) emit("tensor_reduce", {{"dst", part}, {"op", "nl.add"}, {"data", views[1]}, {"axis", "1"}});
  else
    emit("activation", {{"dst", beside(views, "made", views[1].axes[1].count)},
                        {"op", "nl.copy"},
                        {"data", views[1]},
                        {"reduce_op", "nl.add"},
                        {"reduce_res", part},
                        {"reduce_cmd", "nisa.reduce_cmd.reset_reduce"}});
  emit("tensor_tensor", {{"dst", views[0]}, {"data1", views[0]}, {"data2", part}, {"op", "nl.add"}});
}

// By the PE array, 128 rows at a time, where no DMA turns what it moves.
void Lowering::turned(const std::vector<View>& views) {
  const ScalarType type = k_.tiles[views[0].tile].type;
  const Expr rows = views[0].axes[1].count, columns = views[0].axes[0].count;
  size_t row_axis = 0;
  while (views[1].axes[row_axis].point) ++row_axis;
  auto piece = [&](const Expr& at, const Expr& count) {
    View to = views[0], from = views[1];
    to.axes[1] = {simple(to.axes[1].start + at), count};
    from.axes[row_axis].start = simple(from.axes[row_axis].start + at);
    from.axes[row_axis].count = count;
    View as_it_lies = whole(temporary("in", type, Space::sbuf, bound_of(count), bound_of(columns)), count, columns);
    View bank = whole(temporary("psum", type, Space::psum, bound_of(columns), bound_of(count)), columns, count);
    dma(as_it_lies, from);
    emit("nc_transpose", {{"dst", bank}, {"data", as_it_lies}});
    emit("tensor_copy", {{"dst", to}, {"src", bank}});
  };
  in_pieces(rows, core_.partitions, piece);
}

void Lowering::multiply_add(const std::vector<View>& views) {
  View product = beside(views, "product", views[1].axes[1].count);
  emit("tensor_scalar", {{"dst", product}, {"data", views[1]}, {"op0", "nl.multiply"}, {"operand0", views[2]}});
  emit("tensor_tensor", {{"dst", views[0]}, {"data1", product}, {"data2", views[3]}, {"op", "nl.add"}});
}

}  // namespace heddle::neuron
