#include "python/simulate.h"

#include <pybind11/stl.h>

#include <cstring>

#include "backend/neuron/simulator/rules.h"
#include "backend/neuron/simulator/simulate.h"
#include "python/arrays.h"
#include "python/kernel_object.h"

namespace heddle::python {
namespace {

// Arrays come row-major from python/heddle; a tuple (type name, extents) stands for one without elements.
neuron::sim::SimArgument argument_of(const py::handle& item, bool data) {
  if (py::isinstance<py::bool_>(item)) return int64_t{item.cast<bool>()};
  if (py::isinstance<py::int_>(item)) return item.cast<int64_t>();
  if (py::isinstance<py::float_>(item)) return item.cast<double>();
  neuron::sim::SimArray out;
  if (py::isinstance<py::tuple>(item)) {
    auto [name, extents] = item.cast<std::tuple<std::string, std::vector<int64_t>>>();
    std::optional<ScalarType> type = ir::parse_scalar_type(name);
    if (!type) throw py::type_error("`" + name + "` is no element type");
    out.type = *type, out.extents = std::move(extents);
    return out;
  }
  ArrayView view;
  Refusal refusal;
  if (!is_ndarray(item.ptr())) throw py::type_error("an argument is an array or a number");
  if (!view_ndarray(item.ptr(), view, refusal)) raise({refusal.of("array")});
  out.type = view.arg.type;
  out.extents.assign(view.extents, view.extents + view.arg.rank);
  if (!data) return out;
  size_t bytes = ir::scalar_bytes(out.type);
  for (int64_t e : out.extents) bytes *= static_cast<size_t>(e);
  out.bytes.resize(bytes);
  if (bytes) std::memcpy(out.bytes.data(), view.arg.data, bytes);
  return out;
}

py::dict report_dict(const neuron::sim::Report& r) {
  py::dict out;
  out["kernel"] = r.kernel;
  out["target"] = r.target;
  out["modelled_us"] = r.ns / 1000;
  out["utilisation"] = r.utilisation;
  out["critical"] = std::string(neuron::sim::engine_name(r.critical));
  py::dict engines, counts;
  for (int e = 0; e < neuron::sim::engine_count; ++e) {
    py::str name{std::string(neuron::sim::engine_name(static_cast<neuron::sim::Engine>(e)))};
    engines[name] = r.busy(static_cast<neuron::sim::Engine>(e));
    counts[name] = r.instructions[e];
  }
  out["engines"] = engines;
  out["instructions"] = counts;
  out["dma_bytes"] = r.dma_bytes;
  out["hbm_read_bytes"] = r.hbm_read_bytes;
  out["hbm_written_bytes"] = r.hbm_written_bytes;
  out["flops"] = r.flops;
  out["sbuf_peak_bytes"] = r.sbuf_peak_bytes;
  out["psum_peak_banks"] = r.psum_peak_banks;
  out["static_instructions"] = r.static_instructions;
  out["text"] = neuron::sim::report_text(r);
  return out;
}

py::tuple simulate(const std::string& text, const std::string& name, const py::list& arguments,
                   const std::string& target, const std::string& kernel,
                   const std::map<std::string, neuron::sim::SimScalar>& scalars, uint64_t seed, bool shuffle, bool data,
                   bool timeline, int64_t max_instructions) {
  std::vector<neuron::sim::SimArgument> values;
  for (py::handle item : arguments) values.push_back(argument_of(item, data));
  neuron::sim::SimulateOptions options{target, kernel, scalars, seed, shuffle, data, timeline, max_instructions};
  Result<neuron::sim::Simulation> result = [&] {
    py::gil_scoped_release unlocked;
    return neuron::sim::simulate(text, name, values, options);
  }();
  if (!result) raise(result.errors());
  py::list outputs;
  for (const neuron::sim::SimArray& a : result->outputs) {
    py::object array = allocate(a.type, a.extents);
    ArrayView view;
    Refusal refusal;
    view_ndarray(array.ptr(), view, refusal);
    if (!a.bytes.empty())
      std::memcpy(const_cast<void*>(static_cast<const void*>(view.arg.data)), a.bytes.data(), a.bytes.size());
    outputs.append(array);
  }
  py::object trace = py::none(), picture = py::none();
  if (timeline) {
    trace = py::str(neuron::sim::timeline_json(result->report));
    picture = py::str(neuron::sim::timeline_svg(result->report));
  }
  return py::make_tuple(outputs, report_dict(result->report), trace, picture);
}

}  // namespace

void bind_simulator(py::module_& m) {
  m.def("simulate_nki", &simulate, py::arg("text"), py::arg("name"), py::arg("arguments"), py::arg("target"),
        py::arg("kernel"), py::arg("scalars"), py::arg("seed"), py::arg("shuffle"), py::arg("data"),
        py::arg("timeline"), py::arg("max_instructions"));
  m.def("nki_rules", [] {
    std::vector<std::tuple<std::string, int, std::string, std::string, std::string>> out;
    for (const neuron::sim::Rule& r : neuron::sim::rules())
      out.emplace_back(r.name, r.number, std::string(r.code.id), r.text, r.path);
    return out;
  });
}

}  // namespace heddle::python
