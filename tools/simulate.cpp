// `heddle simulate`: runs NKI text, or an op as NKI text, on the simulator of NeuronCore and prints the modelled time.
#include "backend/neuron/simulator/simulate.h"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>

#include "tools/codes.h"
#include "tools/command.h"

namespace heddle::tools {
namespace {

// NAME=VALUE: an integer where it reads as one.
Result<std::map<std::string, neuron::sim::SimScalar>> named_scalars(const std::vector<std::string>& pairs) {
  std::map<std::string, neuron::sim::SimScalar> out;
  for (const std::string& pair : pairs) {
    size_t equals = pair.find('=');
    const char* text = pair.c_str() + equals + 1;
    char *whole = nullptr, *real = nullptr;
    if (equals == std::string::npos || !*text) return wrong("`--scalar " + pair + "` is not NAME=VALUE");
    long long integer = std::strtoll(text, &whole, 10);
    double value = std::strtod(text, &real);
    if (*real) return wrong("`--scalar " + pair + "` is not NAME=VALUE");
    if (*whole) out[pair.substr(0, equals)] = value;
    else out[pair.substr(0, equals)] = int64_t{integer};
  }
  return out;
}

neuron::sim::SimArray row_major(const Array& a) {
  neuron::sim::SimArray out{a.type, a.extents, {}};
  const size_t width = ir::scalar_bytes(a.type);
  int64_t count = 1;
  for (int64_t e : a.extents) count *= e;
  out.bytes.resize(count * width);
  std::vector<int64_t> index(a.extents.size());
  for (int64_t i = 0; i < count; ++i) {
    int64_t at = 0;
    for (size_t d = 0; d < index.size(); ++d) at += index[d] * a.strides[d];
    std::copy_n(a.bytes.begin() + at * width, width, out.bytes.begin() + i * width);
    for (size_t d = index.size(); d-- > 0;) {
      if (++index[d] < a.extents[d]) break;
      index[d] = 0;
    }
  }
  return out;
}

Result<Done> write(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  if (file << text && file.flush()) return Done{};
  return wrong("`" + path + "` cannot be written");
}

// As NKI texts take it: 64-bit integers as 32-bit ones, a scalar as an array of one element.
neuron::sim::SimArray for_the_text(neuron::sim::SimArray a) {
  if (a.extents.empty()) a.extents = {1};
  if (a.type != ScalarType::i64 && a.type != ScalarType::u64) return a;
  std::vector<unsigned char> low;
  for (size_t i = 0; i < a.bytes.size(); i += 8) low.insert(low.end(), a.bytes.begin() + i, a.bytes.begin() + i + 4);
  return {ScalarType::i32, a.extents, std::move(low)};
}

struct Run {
  std::string text, name;
  std::vector<neuron::sim::SimArgument> arguments;
  neuron::sim::SimulateOptions options;
  std::vector<std::vector<int64_t>>
      extents;  ///< of an op's outputs, whose scalars are arrays of one element in the text
};

Result<Run> run_of_text(const Options& o) {
  Run run{.name = o.file == "-" ? "<stdin>" : o.file};
  if (o.file == "-") {
    run.text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    std::ifstream file(o.file, std::ios::binary);
    if (!file) return wrong("`" + o.file + "` cannot be read");
    run.text.assign(std::istreambuf_iterator<char>(file), {});
  }
  Result<std::vector<Array>> arrays = read_arrays(o);
  if (!arrays) return arrays.errors();
  for (const Array& a : *arrays) run.arguments.push_back(for_the_text(row_major(a)));
  Result<std::map<std::string, neuron::sim::SimScalar>> scalars = named_scalars(o.scalars);
  if (!scalars) return scalars.errors();
  run.options.scalars = std::move(*scalars);
  run.options.kernel = o.op;
  if (o.target != "auto") run.options.target = o.target;
  return run;
}

// The text of an op takes its inputs, its run-time scalars and then its tables.
Result<Run> run_of_op(const Options& o) {
  Result<Op> op = open_op(o);
  if (!op) return op.errors();
  Result<std::vector<Array>> arrays = read_arrays(o);
  if (!arrays) return arrays.errors();
  Result<CompileOptions> request = request_of(*op, o, *arrays);
  if (!request) return request.errors();
  if (request->target == "auto") request->target = "neuron/trn2";
  Result<std::vector<Scalar>> scalars = scalars_of(*op, o);
  if (!scalars) return scalars.errors();
  NeuronOptions how{o.profile};
  if (o.instructions > 0) how.instructions = o.instructions;
  Result<NeuronText> made = op->neuron(*request, how);
  if (!made) return made.errors();
  Run run{.text = made->nki, .name = op->name() + ".nki.py"};
  for (const Array& a : *arrays) run.arguments.push_back(for_the_text(row_major(a)));
  for (const NeuronText::Packing& p : made->packings) {
    neuron::sim::SimArray from = row_major((*arrays)[p.input]), to{from.type, p.shape, {}};
    size_t bytes = static_cast<size_t>(scalar_bytes(from.type));
    for (int64_t n : p.shape) bytes *= static_cast<size_t>(n);
    to.bytes.resize(bytes);
    if (bytes) p.pack(from.bytes.data(), to.bytes.data());
    run.arguments[p.input] = for_the_text(std::move(to));
  }
  size_t next = 0;
  for (const ParameterInfo& p : op->parameters()) {
    if (p.kind == ParameterInfo::Kind::scalar && !p.output && next < scalars->size()) {
      const Scalar& s = (*scalars)[next++];
      const bool real = p.type.find('f') != std::string::npos;
      if (real) run.arguments.emplace_back(static_cast<double>(static_cast<float>(s.real)));
      else run.arguments.emplace_back(s.integer);
    }
    if (p.output && p.dims.empty()) run.extents.emplace_back();
    else if (p.output || p.inout) run.extents.push_back({-1});
  }
  for (const NeuronText::Table& t : made->tables) {
    neuron::sim::SimArray a{ScalarType::f32, t.shape, {}};
    const auto* bytes = reinterpret_cast<const unsigned char*>(t.data.data());
    a.bytes.assign(bytes, bytes + t.data.size() * sizeof(float));
    run.arguments.emplace_back(std::move(a));
  }
  run.options.kernel = op->name();
  run.options.target = made->target;
  run.options.max_instructions = std::max<int64_t>(how.instructions, made->instructions + 1);
  return run;
}

Result<neuron::sim::Report> simulate_run(const Options& o, Run run) {
  run.options.seed = o.seed;
  run.options.timeline = !o.timeline.empty();
  Result<neuron::sim::Simulation> done =
      neuron::sim::simulate(std::move(run.text), run.name, run.arguments, run.options);
  if (!done) return done.errors();
  if (o.out.size() > done->outputs.size()) return wrong("more files by --out than the kernel has outputs");
  for (size_t i = 0; i < o.out.size(); ++i) {
    neuron::sim::SimArray& from = done->outputs[i];
    if (i < run.extents.size() && run.extents[i].empty()) from.extents.clear();
    Array a = Array::zeros(from.type, from.extents);
    a.bytes = std::move(from.bytes);
    if (Result<Done> written = write_npy(o.out[i], a); !written) return written.errors();
  }
  if (!o.timeline.empty()) {
    const bool picture = o.timeline.size() > 4 && o.timeline.substr(o.timeline.size() - 4) == ".svg";
    Result<Done> written = write(o.timeline, picture ? timeline_svg(done->report) : timeline_json(done->report));
    if (!written) return written.errors();
  }
  return std::move(done->report);
}

}  // namespace

int simulate(const Options& o) {
  const bool nki = o.file == "-" || (o.file.size() > 3 && o.file.substr(o.file.size() - 3) == ".py");
  Result<Run> run = nki ? run_of_text(o) : run_of_op(o);
  if (!run) return refuse(run.errors());
  Result<neuron::sim::Report> report = simulate_run(o, std::move(*run));
  if (!report) return refuse(report.errors());
  std::cout << (o.json ? report_json(*report) + "\n" : report_text(*report));
  return exit_done;
}

}  // namespace heddle::tools
