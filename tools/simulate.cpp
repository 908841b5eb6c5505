// `heddle simulate`: runs NKI text on the simulator of NeuronCore and prints the modelled time.
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

Result<neuron::sim::Report> simulate_text(const Options& o) {
  std::string text;
  if (o.file == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    std::ifstream file(o.file, std::ios::binary);
    if (!file) return wrong("`" + o.file + "` cannot be read");
    text.assign(std::istreambuf_iterator<char>(file), {});
  }
  std::vector<neuron::sim::SimArgument> arguments;
  for (const std::string& path : o.in) {
    Result<Array> a = read_npy(path);
    if (!a) return a.errors();
    arguments.push_back(row_major(*a));
  }
  neuron::sim::SimulateOptions options;
  if (o.target != "auto") options.target = o.target;
  options.kernel = o.op;
  options.seed = o.seed;
  options.timeline = !o.timeline.empty();
  Result<std::map<std::string, neuron::sim::SimScalar>> scalars = named_scalars(o.scalars);
  if (!scalars) return scalars.errors();
  options.scalars = std::move(*scalars);
  Result<neuron::sim::Simulation> done =
      neuron::sim::simulate(std::move(text), o.file == "-" ? "<stdin>" : o.file, arguments, options);
  if (!done) return done.errors();
  if (o.out.size() > done->outputs.size()) return wrong("more files by --out than the kernel has outputs");
  for (size_t i = 0; i < o.out.size(); ++i) {
    neuron::sim::SimArray& from = done->outputs[i];
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
  if (o.file.size() > 3 && o.file.substr(o.file.size() - 3) == ".hd")
    return refuse({wrong("`simulate` reads NKI text; an op becomes one by `heddle emit " + o.file + " --as nki`")});
  Result<neuron::sim::Report> report = simulate_text(o);
  if (!report) return refuse(report.errors());
  std::cout << (o.json ? report_json(*report) + "\n" : report_text(*report));
  return exit_done;
}

}  // namespace heddle::tools
