// The table of instructions, and what their checks share.
#include "backend/neuron/simulator/isa.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "backend/neuron/simulator/isa_call.h"

namespace heddle::neuron::sim {
namespace {

constexpr IsaRow rows[] = {
    {"dma_copy", "dst src priority? oob_mode? dge_mode? engine?", make_dma_copy},
    {"dma_transpose", "dst src axes? priority? dge_mode? oob_mode?", make_dma_transpose},
    {"nc_matmul",
     "dst stationary moving is_stationary_onezero? is_moving_onezero? is_transpose? accumulate? tile_position? "
     "tile_size? perf_mode?",
     make_nc_matmul},
    {"nc_transpose", "dst data engine?", make_nc_transpose},
    {"tensor_copy", "dst src engine?", make_tensor_copy},
    {"tensor_copy_predicated", "dst src predicate reverse_pred?", make_tensor_copy_predicated},
    {"memset", "dst value engine?", make_memset},
    {"tensor_tensor", "dst data1 data2 op engine?", make_tensor_tensor},
    {"tensor_scalar", "dst data op0 operand0 reverse0? op1? operand1? reverse1? engine?", make_tensor_scalar},
    {"scalar_tensor_tensor", "dst data op0 operand0 op1 operand1 reverse0? reverse1?", make_scalar_tensor_tensor},
    {"tensor_scalar_reduce", "dst data op0 operand0 reduce_op reduce_res reverse0? reduce_cmd? reduce_init?",
     make_tensor_scalar_reduce},
    {"tensor_reduce", "dst op data axis negate? keepdims?", make_tensor_reduce},
    {"tensor_partition_reduce", "dst op data", make_tensor_partition_reduce},
    {"tensor_tensor_scan", "dst data0 data1 initial op0 op1 reverse0? reverse1?", make_tensor_tensor_scan},
    {"activation", "dst op data bias? scale? reduce_op? reduce_res? reduce_cmd?", make_activation},
    {"activation_reduce", "dst op data reduce_op reduce_res bias? scale?", make_activation_reduce},
    {"reciprocal", "dst data", make_reciprocal},
    {"iota", "dst pattern offset? channel_multiplier?", make_iota},
    {"affine_select", "dst pattern channel_multiplier on_true_tile on_false_value cmp_op? offset?", make_affine_select},
    {"bn_stats", "dst data", make_bn_stats},
    {"bn_aggr", "dst data", make_bn_aggr},
    {"max8", "dst src", make_max8},
    {"nc_n_gather", "dst data indices", make_nc_n_gather},
    {"nc_stream_shuffle", "dst src shuffle_mask", make_nc_stream_shuffle},
};

std::string_view unprefixed(std::string_view path) { return path.substr(path.rfind('.') + 1); }

}  // namespace

const IsaRow* isa_row(std::string_view name) {
  for (const IsaRow& r : rows)
    if (r.name == name) return &r;
  return nullptr;
}

std::vector<std::string_view> isa_names() {
  std::vector<std::string_view> out;
  for (const IsaRow& r : rows) out.push_back(r.name);
  return out;
}

void Evaluator::isa_call(const Expr& e, const std::string& name, Arguments& arguments) {
  const IsaRow* row = isa_row(name);
  if (!row) wrong(e, "`nisa." + name + "` is not called");
  spend(e, 20);
  IsaCall call(*this, *row, at(e), arguments);
  row->make(call);
  emit(std::move(call.instruction), at(e));
}

void Evaluator::emit(Instruction i, const Place& place) {
  i.begin = place.begin, i.end = place.end;
  i.repeat_of = static_next_++;
  i.epoch = epoch_;
  if (static_next_ > limits_.instructions)
    refuse_rule(RuleId::instruction_count, place,
                "the kernel unrolls to more than " + std::to_string(limits_.instructions) + " instructions");
  if (trace_.instructions.size() >= static_cast<size_t>(limits_.run_instructions))
    refuse(codes::nki_limit, place,
           "the kernel runs more than " + std::to_string(limits_.run_instructions) + " instructions");
  trace_.instructions.push_back(std::move(i));
}

IsaCall::IsaCall(Evaluator& evaluator, const IsaRow& row, const Place& place, Arguments& arguments)
    : evaluator_(evaluator), row_(row), place_(place) {
  std::vector<bool> optional;
  for (size_t at = 0; at < row.parameters.size();) {
    size_t end = std::min(row.parameters.find(' ', at), row.parameters.size());
    std::string_view word = row.parameters.substr(at, end - at);
    optional.push_back(word.back() == '?');
    if (word.back() == '?') word.remove_suffix(1);
    names_.push_back(word);
    at = end + 1;
  }
  values_.resize(names_.size());
  for (size_t i = 0; i < arguments.values.size(); ++i) {
    std::string_view name = arguments.names[i];
    if (name.empty()) {
      if (i >= names_.size())
        wrong("`nisa." + std::string(row.name) + "` takes " + std::to_string(names_.size()) + " arguments");
      name = names_[i];
    }
    if (name == "name") continue;
    if (name == "mask")
      refuse_rule(RuleId::removed_api, arguments.places[i], "`mask=` was removed: ragged tails are slices");
    int s = slot(name);
    if (s < 0) {
      std::vector<std::string> known(names_.begin(), names_.end());
      std::string close = nearest(name, known);
      refuse(codes::nki_value, arguments.places[i],
             "`nisa." + std::string(row.name) + "` has no argument `" + std::string(name) + "`",
             close.empty() ? "" : "did you mean `" + close + "`?");
    }
    if (values_[s]) refuse(codes::nki_value, arguments.places[i], "`" + std::string(name) + "` is given twice");
    values_[s] = &arguments.values[i];
  }
  for (size_t i = 0; i < names_.size(); ++i)
    if (!values_[i] && !optional[i])
      wrong("`nisa." + std::string(row.name) + "` needs `" + std::string(names_[i]) + "`");
}

int IsaCall::slot(std::string_view name) const {
  auto at = std::find(names_.begin(), names_.end(), name);
  return at == names_.end() ? -1 : static_cast<int>(at - names_.begin());
}

bool IsaCall::given(std::string_view name) const {
  int s = slot(name);
  return s >= 0 && values_[s] && !values_[s]->as<None>();
}

const Value& IsaCall::value(std::string_view name) const {
  static const Value none{};
  int s = slot(name);
  return s >= 0 && values_[s] ? *values_[s] : none;
}

std::string IsaCall::named(const View& v) const {
  const std::string& name = tensor(v).name;
  return name.empty() ? "a tile" : "`" + name + "`";
}

void IsaCall::broken(RuleId rule, const View& v, std::string message) const {
  refuse_rule(rule,
              Diagnostic(rule_of(rule).code, place_, std::move(message)).label(tensor(v).place, "allocated here"));
}

View IsaCall::view(std::string_view name) const {
  const View* v = value(name).as<View>();
  if (!v)
    wrong("`" + std::string(name) + "` of `nisa." + std::string(row_.name) + "` is " + kind_of(value(name)) +
          ", not a tensor");
  if (v->elements() == 0) wrong("`" + std::string(name) + "` has no elements");
  if (on_chip(memory(*v))) check_access(*v);
  return *v;
}

View IsaCall::tile(std::string_view name) const {
  View v = view(name);
  if (!on_chip(memory(v)))
    broken(RuleId::on_chip, v,
           "`" + std::string(name) + "` of `nisa." + std::string(row_.name) + "`, " + named(v) + ", lies in HBM");
  return v;
}

void IsaCall::check_access(const View& v) const {
  const Tensor& t = tensor(v);
  int64_t n = v.size[0];
  if (n > partitions) broken(RuleId::partition_extent, v, "the access has " + std::to_string(n) + " partitions");
  if (n > 1 && v.stride[0] != t.row)
    broken(RuleId::partition_stride, v, "the access to " + named(v) + " skips partitions");
  int64_t start = t.row ? v.offset / t.row : 0;
  bool fits = n > 64 ? start == 0 : n > 32 ? start % 64 == 0 : start % 32 == 0;
  if (!fits)
    broken(RuleId::start_partition, v,
           "the access to " + named(v) + " takes " + std::to_string(n) + " partitions from " + std::to_string(start));
  if (v.free_elements() > (1 << 18))
    refuse(codes::nki_limit, place_, "an access of " + std::to_string(v.free_elements()) + " elements of a partition");
  if (v.rank > 5) broken(RuleId::free_pattern, v, "the access has " + std::to_string(v.rank - 1) + " free dims");
  for (int i = 1; i < v.rank; ++i) {
    if (v.size[i] > 65'535)
      broken(RuleId::free_pattern, v, "a free dim of the access has " + std::to_string(v.size[i]) + " elements");
    if (v.size[i] > 1 && (v.stride[i] > 32'767 || v.stride[i] < -32'768))
      broken(RuleId::free_pattern, v, "a free dim of the access has the stride " + std::to_string(v.stride[i]));
  }
}

std::string IsaCall::symbol(std::string_view name, std::string_view prefix) const {
  const Symbol* s = value(name).as<Symbol>();
  if (!s || s->path.substr(0, prefix.size()) != prefix) {
    if (value(name).as<std::string>())
      broken(RuleId::removed_api,
             "`" + std::string(name) + "` is a string; enums are objects, as `" + std::string(prefix) + "..`");
    wrong("`" + std::string(name) + "` is " + kind_of(value(name)) + ", not one of `" + std::string(prefix) + "..`");
  }
  return std::string(unprefixed(s->path));
}

AluOp IsaCall::alu(std::string_view name) const {
  std::string op = symbol(name, "nl.");
  std::optional<AluOp> found = alu_named(op);
  if (!found) broken(RuleId::op_unknown, "`nl." + op + "` is no operator of this engine");
  return *found;
}

Function IsaCall::function(std::string_view name) const {
  std::string op = symbol(name, "nl.");
  std::optional<Function> found = function_named(op);
  if (!found) broken(RuleId::op_unknown, "`nl." + op + "` is no activation function");
  return *found;
}

bool IsaCall::flag(std::string_view name) const {
  if (!given(name)) return false;
  if (const bool* b = value(name).as<bool>()) return *b;
  if (const int64_t* n = value(name).as<int64_t>()) return *n != 0;
  wrong("`" + std::string(name) + "` is " + kind_of(value(name)) + ", not True or False");
}

int64_t IsaCall::integer(std::string_view name, int64_t fallback) const {
  return given(name) ? evaluator_.integer(place_, value(name), "this argument") : fallback;
}

std::vector<int64_t> IsaCall::integers(std::string_view name) const {
  return evaluator_.integers(place_, value(name), "this argument");
}

double IsaCall::number(std::string_view name) const {
  if (const double* d = value(name).as<double>()) return *d;
  return static_cast<double>(evaluator_.integer(place_, value(name), "this argument"));
}

Operand IsaCall::operand(std::string_view name, const View& data, RuleId rule, bool any_dtype) {
  Operand o{.given = true};
  const View* v = value(name).as<View>();
  if (!v) {
    o.value = static_cast<float>(number(name));
    return o;
  }
  View t = tile(name);
  if (t.size[0] != data.size[0] || t.free_elements() != 1)
    broken(rule, t,
           "`" + std::string(name) + "` has " + std::to_string(t.size[0]) + " partitions of " +
               std::to_string(t.free_elements()) + " elements; it takes " + std::to_string(data.size[0]) + " of 1");
  if (!any_dtype && t.dtype != Dtype::f32)
    broken(rule, t, "`" + std::string(name) + "` is " + std::string(dtype_name(t.dtype)));
  o.tile = true;
  o.input = static_cast<uint8_t>(instruction.in.size());
  input(t);
  return o;
}

Engine IsaCall::engine(Engine fallback, std::initializer_list<Engine> allowed) const {
  Engine chosen = fallback;
  if (given("engine")) {
    std::string word = symbol("engine", "nisa.");
    if (auto cut = word.find("_engine"); cut != std::string::npos) word.resize(cut);
    static const std::pair<std::string_view, Engine> words[] = {{"tensor", Engine::tensor}, {"vector", Engine::vector},
                                                                {"scalar", Engine::scalar}, {"gpsimd", Engine::gpsimd},
                                                                {"sync", Engine::sync},     {"dma", Engine::dma}};
    for (auto [name, e] : words)
      if (word == name) chosen = e;
    if (word != "unknown" && std::find(allowed.begin(), allowed.end(), chosen) == allowed.end())
      broken(RuleId::engine_choice, "`nisa." + std::string(row_.name) + "` does not run on the " + word + " engine");
  }
  return chosen;
}

ReduceCommand IsaCall::reduce_command(ReduceCommand fallback) const {
  if (!given("reduce_cmd")) return fallback;
  std::string word = symbol("reduce_cmd", "nisa.reduce_cmd.");
  if (word == "reset") return ReduceCommand::reset;
  if (word == "reduce") return ReduceCommand::reduce;
  if (word == "reset_reduce") return ReduceCommand::reset_reduce;
  if (word == "load_reduce") return ReduceCommand::load_reduce;
  return ReduceCommand::idle;
}

void IsaCall::output(const View& v) {
  for (int i = 0; i < v.rank; ++i)
    if (v.stride[i] == 0 && v.size[i] > 1) broken(RuleId::free_pattern, v, "the destination repeats elements");
  instruction.out.push_back(v);
}

void IsaCall::same_elements(const View& a, const View& b) const {
  if (a.size[0] == b.size[0] && a.free_elements() == b.free_elements()) return;
  auto shape = [](const View& v) { return std::to_string(v.size[0]) + " x " + std::to_string(v.free_elements()); };
  broken(RuleId::same_elements, named(a) + " has " + shape(a) + " elements, " + named(b) + " has " + shape(b));
}

void IsaCall::one_element(const View& small, const View& data, const char* what) const {
  if (small.size[0] != data.size[0] || small.free_elements() != 1)
    broken(RuleId::same_elements, small,
           std::string(what) + " has " + std::to_string(small.size[0]) + " x " + std::to_string(small.free_elements()) +
               " elements; it takes " + std::to_string(data.size[0]) + " x 1");
}

void IsaCall::not_both_psum(const View& a, const View& b) const {
  if (in_psum(a) && in_psum(b)) broken(RuleId::two_psum_inputs, b, named(a) + " and " + named(b) + " are both in PSUM");
}

void IsaCall::gpsimd_reaches(const std::vector<View>& views) const {
  if (instruction.engine != Engine::gpsimd) return;
  for (const View& v : views)
    if (in_psum(v)) broken(RuleId::gpsimd_psum, v, named(v) + " lies in PSUM, and the instruction runs on GpSimd");
}

// `pattern`, `offset`, `channel_multiplier` of iota and affine_select.
void IsaCall::pattern_of(const View& dst) {
  const Sequence* rows_given = value("pattern").as<Sequence>();
  if (!rows_given || rows_given->items->empty() || rows_given->items->size() > 4)
    broken(RuleId::gpsimd_sbuf, "the pattern is a list of one to four [step, size]");
  int64_t n = 1;
  for (const Value& v : *rows_given->items) {
    std::vector<int64_t> pair = evaluator_.integers(place_, v, "a step or size");
    if (pair.size() != 2 || pair[1] < 1 || pair[1] > 65'535 || std::abs(pair[0]) > INT32_MAX)
      broken(RuleId::gpsimd_sbuf, "a row of the pattern is [step, size]");
    instruction.pattern.push_back({pair[0], pair[1]});
    n *= pair[1];
    if (n > (1 << 20)) break;
  }
  if (n != dst.free_elements())
    broken(RuleId::gpsimd_sbuf, dst,
           "the pattern covers " + std::to_string(n) + " elements of a partition, " + named(dst) + " has " +
               std::to_string(dst.free_elements()));
  instruction.pattern_offset = integer("offset", 0);
  instruction.channel_multiplier = integer("channel_multiplier", 0);
  if (std::abs(instruction.pattern_offset) > INT32_MAX || std::abs(instruction.channel_multiplier) > INT32_MAX)
    wrong("the offset and the channel multiplier are 32-bit integers");
}

}  // namespace heddle::neuron::sim
