// The names of nki.language, and which names exist at all.
#include <algorithm>
#include <set>

#include "backend/neuron/simulator/evaluator.h"
#include "backend/neuron/simulator/isa.h"

namespace heddle::neuron::sim {
namespace {

const std::set<std::string_view>& plain_names() {
  static const std::set<std::string_view> names = {"nki.jit",
                                                   "nl.ndarray",
                                                   "nl.zeros",
                                                   "nl.ds",
                                                   "nl.sbuf",
                                                   "nl.psum",
                                                   "nl.hbm",
                                                   "nl.shared_hbm",
                                                   "nl.private_hbm",
                                                   "nl.no_reorder",
                                                   "nl.fori_loop",
                                                   "nl.program_id",
                                                   "nl.num_programs",
                                                   "nl.program_ndim",
                                                   "nl.tile_size",
                                                   "nl.tile_size.pmax",
                                                   "nl.tile_size.psum_fmax",
                                                   "nl.tile_size.gemm_stationary_fmax",
                                                   "nl.tile_size.gemm_moving_fmax",
                                                   "nl.tile_size.bn_stats_fmax",
                                                   "nisa.engine",
                                                   "nisa.reduce_cmd",
                                                   "nisa.dge_mode",
                                                   "nisa.oob_mode",
                                                   "nisa.matmul_perf_mode",
                                                   "nisa.engine.tensor",
                                                   "nisa.engine.vector",
                                                   "nisa.engine.scalar",
                                                   "nisa.engine.gpsimd",
                                                   "nisa.engine.dma",
                                                   "nisa.engine.sync",
                                                   "nisa.engine.unknown",
                                                   "nisa.tensor_engine",
                                                   "nisa.vector_engine",
                                                   "nisa.scalar_engine",
                                                   "nisa.gpsimd_engine",
                                                   "nisa.unknown_engine",
                                                   "nisa.reduce_cmd.idle",
                                                   "nisa.reduce_cmd.reset",
                                                   "nisa.reduce_cmd.reduce",
                                                   "nisa.reduce_cmd.reset_reduce",
                                                   "nisa.reduce_cmd.load_reduce",
                                                   "nisa.dge_mode.unknown",
                                                   "nisa.dge_mode.swdge",
                                                   "nisa.dge_mode.hwdge",
                                                   "nisa.dge_mode.none",
                                                   "nisa.oob_mode.error",
                                                   "nisa.oob_mode.skip",
                                                   "nisa.matmul_perf_mode.none",
                                                   "nisa.matmul_perf_mode.double_row"};
  return names;
}

// Instructions that exist and that the simulator does not follow.
const std::set<std::string_view>& documented_instructions() {
  static const std::set<std::string_view> names = {"nc_matmul_mx",
                                                   "activate2",
                                                   "exponential",
                                                   "range_select",
                                                   "select_reduce",
                                                   "tensor_scalar_cumulative",
                                                   "sequence_bounds",
                                                   "nc_find_index8",
                                                   "nc_match_replace8",
                                                   "topk",
                                                   "local_gather",
                                                   "nonzero_with_count",
                                                   "dropout",
                                                   "rng",
                                                   "rand2",
                                                   "rand_get_state",
                                                   "rand_set_state",
                                                   "set_rng_seed",
                                                   "quantize_mx",
                                                   "dma_compute",
                                                   "register_alloc",
                                                   "register_load",
                                                   "register_move",
                                                   "register_store",
                                                   "core_barrier",
                                                   "sendrecv",
                                                   "get_nc_version"};
  return names;
}

// Names of earlier dialects, with what stands in their place.
const std::map<std::string_view, std::string_view>& removed_names() {
  static const std::map<std::string_view, std::string_view> names = {
      {"nl.load", "`nisa.dma_copy`"},
      {"nl.store", "`nisa.dma_copy`"},
      {"nl.arange", "slices"},
      {"nl.mgrid", "slices"},
      {"nl.par_dim", "dim 0 is the partition"},
      {"nl.affine_range", "`range`"},
      {"nl.sequential_range", "`range`"},
      {"nl.static_range", "`range`"},
      {"nl.dynamic_range", "`nl.fori_loop`"},
      {"nl.matmul", "`nisa.nc_matmul`"},
      {"nl.transpose", "`nisa.nc_transpose`"},
      {"nl.divide", "`nisa.reciprocal` and `nl.multiply`; there is no divide"},
      {"nl.mod", "index arithmetic; there is no mod"},
      {"nl.load_transpose2d", "`nisa.dma_transpose`"},
      {"nl.softmax", "the low-level form"},
      {"nl.sum", "`nisa.tensor_reduce`"},
      {"nl.mean", "`nisa.tensor_reduce`"},
      {"nl.where", "`nisa.tensor_copy_predicated`"},
      {"nl.broadcast_to", "a (P, 1) operand"},
      {"nl.loop_reduce", "a loop"},
      {"nl.atomic_rmw", "`nisa.dma_compute`"},
      {"nl.device_print", "nothing"},
      {"nl.copy_", "`nisa.tensor_copy`"},
      {"nki.baremetal", "`@nki.jit`"},
      {"nki.benchmark", "`@nki.jit`"},
      {"nki.profile", "`@nki.jit`"},
      {"nki.trace", "`@nki.jit`"}};
  return names;
}

}  // namespace

bool known_symbol(const std::string& path) {
  if (plain_names().count(path)) return true;
  if (path.substr(0, 3) == "nl.") {
    std::string name = path.substr(3);
    return dtype_named(name) || alu_named(name) || function_named(name);
  }
  return path.substr(0, 5) == "nisa." && isa_row(path.substr(5));
}

void Evaluator::check_symbol(const Expr& e, const std::string& path) const {
  if (auto removed = removed_names().find(path); removed != removed_names().end())
    refuse_rule(RuleId::removed_api, at(e), "`" + path + "`: in its place stands " + std::string(removed->second));
  if (known_symbol(path)) return;
  if (path.substr(0, 5) == "nisa." && documented_instructions().count(path.substr(5)))
    refuse(codes::nki_subset, at(e), "the simulator does not follow `" + path + "`",
           "its page is nki/api/nki.isa.rst; `heddle.neuron` documents what is followed");
  if (path == "nl.divide" || path == "nl.mod") refuse_rule(RuleId::op_unknown, at(e), "there is no `" + path + "`");
  std::vector<std::string> near;
  for (std::string_view n : plain_names()) near.emplace_back(n);
  for (std::string_view n : isa_names()) near.push_back("nisa." + std::string(n));
  for (int i = 0; i <= static_cast<int>(AluOp::reciprocal); ++i)
    near.push_back("nl." + std::string(alu_name(static_cast<AluOp>(i))));
  for (int i = 0; i <= static_cast<int>(Function::reciprocal); ++i)
    near.push_back("nl." + std::string(function_name(static_cast<Function>(i))));
  std::string close = nearest(path, near);
  refuse_rule(RuleId::removed_api, Diagnostic(codes::nki_subset, at(e), "the simulator knows no `" + path + "`")
                                       .with_help(close.empty() ? "" : "did you mean `" + close + "`?"));
}

uint32_t Evaluator::add_tensor(Tensor t, const Place& place) {
  if (trace_.tensors.size() >= static_cast<size_t>(limits_.tensors))
    refuse(codes::nki_limit, place, "more than " + std::to_string(limits_.tensors) + " tensors");
  int64_t n = 1;
  for (int64_t d : t.shape)
    if (d < 0 || __builtin_mul_overflow(n, std::max<int64_t>(d, 1), &n) || n > (int64_t{1} << 36))
      refuse(codes::nki_limit, place, "this tensor is too large");
  for (int64_t d : t.shape)
    if (d == 0) n = 0;
  t.elements = n;
  t.row = t.shape.empty() || !t.shape[0] ? 0 : n / t.shape[0];
  if (!on_chip(t.memory)) {
    hbm_bytes_ += n * dtype_bytes(t.dtype);
    if (hbm_bytes_ > limits_.hbm_bytes)
      refuse(codes::nki_limit, place,
             "the tensors in HBM take more than " + std::to_string(limits_.hbm_bytes >> 30) + " GiB");
  }
  trace_.tensors.push_back(std::move(t));
  return static_cast<uint32_t>(trace_.tensors.size() - 1);
}

Value Evaluator::new_tensor(const Expr& e, Arguments& a) {
  Tensor t{.memory = Memory::sbuf, .place = at(e)};
  const Value *shape = nullptr, *dtype = nullptr, *buffer = nullptr, *address = nullptr;
  static constexpr const char* order[] = {"shape", "dtype", "buffer", "name", "address"};
  for (size_t i = 0; i < a.values.size(); ++i) {
    std::string_view name = a.names[i].empty() ? (i < 5 ? order[i] : "") : std::string_view(a.names[i]);
    if (name == "shape") shape = &a.values[i];
    else if (name == "dtype") dtype = &a.values[i];
    else if (name == "buffer") buffer = &a.values[i];
    else if (name == "address") address = &a.values[i];
    else if (name == "name") {
      if (const std::string* text = a.values[i].as<std::string>()) t.name = *text;
    } else refuse(codes::nki_value, a.places[i], "`nl.ndarray` has no argument `" + std::string(name) + "`");
  }
  if (!shape || !dtype) wrong(e, "`nl.ndarray` takes a shape and a dtype");
  if (const Sequence* s = shape->as<Sequence>(); s && s->list)
    refuse_rule(RuleId::list_argument, at(e), "the shape is a list");
  t.shape = integers(at(e), *shape, "a dim");
  if (t.shape.empty() || t.shape.size() > static_cast<size_t>(max_rank)) wrong(e, "a tensor has 1 to 6 dims");
  for (int64_t d : t.shape)
    if (d < 0) wrong(e, "a dim of " + std::to_string(d));
  if (const Symbol* s = dtype->as<Symbol>(); s && s->path.substr(0, 3) == "nl." && dtype_named(s->path.substr(3)))
    t.dtype = *dtype_named(s->path.substr(3));
  else if (const std::string* text = dtype->as<std::string>())
    refuse_rule(RuleId::removed_api, at(e), "the dtype is the string \"" + *text + "\"; write `nl." + *text + "`");
  else wrong(e, "the dtype is " + kind_of(*dtype));
  if (t.dtype == Dtype::f8e4m3fn && machine_.generation < 4)
    refuse_rule(RuleId::newer_core, at(e), "`float8_e4m3fn` begins with v4; this is " + std::string(machine_.name));
  if (buffer && !buffer->as<None>()) {
    const Symbol* s = buffer->as<Symbol>();
    static const std::map<std::string_view, Memory> memories = {{"nl.sbuf", Memory::sbuf},
                                                                {"nl.psum", Memory::psum},
                                                                {"nl.hbm", Memory::hbm},
                                                                {"nl.shared_hbm", Memory::shared_hbm},
                                                                {"nl.private_hbm", Memory::private_hbm}};
    auto found = s ? memories.find(s->path) : memories.end();
    if (found == memories.end()) {
      if (buffer->as<std::string>())
        refuse_rule(RuleId::removed_api, at(e), "a buffer is an object, as `nl.sbuf`, no string");
      wrong(e, "the buffer is " + kind_of(*buffer));
    }
    t.memory = found->second;
  }
  if (on_chip(t.memory)) {
    if (t.shape.size() < 2) wrong(e, "an on-chip tensor has a partition dim and a free one", "write `(n, 1)`");
    if (t.shape[0] > partitions)
      refuse_rule(RuleId::partition_extent, at(e), "dim 0 has " + std::to_string(t.shape[0]) + " partitions");
    if (t.shape.size() > 5)
      refuse_rule(RuleId::free_pattern, at(e), "an on-chip tensor has " + std::to_string(t.shape.size()) + " dims");
    int64_t row = dtype_bytes(t.dtype);
    for (size_t i = 1; i < t.shape.size(); ++i)
      if (__builtin_mul_overflow(row, t.shape[i], &row)) wrong(e, "this tensor is too large");
    if (t.memory == Memory::psum && row > psum_bank_bytes)
      refuse_rule(RuleId::psum_bank, at(e), "the tile has " + std::to_string(row) + " bytes of a partition");
    if (t.memory == Memory::sbuf && row > machine_.sbuf_bytes)
      refuse_rule(RuleId::sbuf_capacity, at(e),
                  "the tile has " + std::to_string(row) + " bytes of a partition; " + std::string(machine_.name) +
                      " has " + std::to_string(machine_.sbuf_bytes));
    if (address && !address->as<None>()) {
      std::vector<int64_t> where = integers(at(e), *address, "an address");
      if (where.size() != 2 || where[0] != 0)
        wrong(e, "an address is (0, bytes): the simulator places tiles from partition 0");
      t.fixed_address = where[1];
      int64_t most = t.memory == Memory::psum ? psum_banks * psum_bank_bytes : machine_.sbuf_bytes;
      if (where[1] < 0 || where[1] + row > most) wrong(e, "the address lies outside the memory");
      if (t.memory == Memory::psum && where[1] % psum_bank_bytes)
        refuse_rule(RuleId::psum_address, at(e), "the tile starts at byte " + std::to_string(where[1]));
    }
  }
  return {whole(add_tensor(std::move(t), at(e)))};
}

Value Evaluator::language_call(const Expr& e, const std::string& path, Arguments& a) {
  if (path == "nl.ndarray") return new_tensor(e, a);
  if (path == "nl.no_reorder") return {Symbol{"nl.no_reorder()"}};
  if (path == "nl.fori_loop") return fori_loop(e, a);
  if (path == "nl.program_id" || path == "nl.num_programs" || path == "nl.program_ndim")
    return {int64_t{path == "nl.num_programs" ? 1 : 0}};
  if (path == "nl.ds") {
    if (a.values.size() != 2) wrong(e, "`nl.ds` takes a start and a size");
    int64_t start = address(at(e), a.values[0], "a start"), size = integer(at(e), a.values[1], "a size"), stop = 0;
    if (__builtin_add_overflow(start, size, &stop)) wrong(e, "this integer does not fit in 64 bits");
    return {SliceValue{true, true, false, start, stop, 1}};
  }
  if (path == "nl.zeros")
    refuse_rule(RuleId::removed_api, at(e),
                "`nl.zeros` is none of the low-level form: `nl.ndarray`, then `nisa.memset`");
  if (path.substr(0, 3) == "nl.")
    refuse_rule(RuleId::removed_api, at(e),
                "`" + path + "` is called; in the low-level form it is only named, as an `op`");
  wrong(e, "`" + path + "` is not called");
}

// `nl.fori_loop(lo, hi, body, step)`: the body's instructions exist once; iterations follow one another.
Value Evaluator::fori_loop(const Expr& e, Arguments& a) {
  static constexpr const char* order[] = {"lower", "upper", "body", "step"};
  const Value* got[4] = {};
  for (size_t i = 0; i < a.values.size(); ++i) {
    size_t slot = i;
    if (!a.names[i].empty()) slot = std::find(std::begin(order), std::end(order), a.names[i]) - std::begin(order);
    if (slot >= 4) wrong(e, "`nl.fori_loop` takes lower, upper, body, step");
    got[slot] = &a.values[i];
  }
  if (!got[0] || !got[1] || !got[2]) wrong(e, "`nl.fori_loop` takes lower, upper, body, step");
  if (no_reorder_) refuse_rule(RuleId::dynamic_loop, at(e), "a dynamic loop inside `nl.no_reorder`");
  const Closure* body = got[2]->as<Closure>();
  if (!body) wrong(e, "the body is " + kind_of(*got[2]) + ", not a function");
  Range r{address(at(e), *got[0], "a bound"), address(at(e), *got[1], "a bound"),
          got[3] ? integer(at(e), *got[3], "a step") : 1};
  if (r.step <= 0) wrong(e, "a loop with the step " + std::to_string(r.step));
  constexpr int64_t far = int64_t{1} << 40;
  if (r.start < -far || r.stop > far) wrong(e, "this loop is too long");
  const uint32_t first = static_next_;
  const bool outer = replaying_;
  for (int64_t i = 0; i < r.count(); ++i) {
    spend(e);
    static_next_ = first;
    replaying_ = outer || i > 0;
    ++epoch_;
    Arguments one{{Value{Register{r.start + i * r.step}}}, {""}, {at(e)}};
    Value carried = call_closure(e, *body, one);
    if (!carried.as<None>()) refuse_rule(RuleId::dynamic_loop, at(e), "the body returns a value");
  }
  replaying_ = outer;
  ++epoch_;
  return {};
}

}  // namespace heddle::neuron::sim
