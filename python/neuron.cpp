// An op as NKI text, for python/heddle/neuron_kernel.py.
#include "python/neuron.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "python/kernel_object.h"

namespace heddle::python {
namespace {

py::dict text_of(const Op& op, const CompileOptions& options, const std::string& profile, int64_t instructions) {
  Result<NeuronText> text = [&] {
    py::gil_scoped_release unlocked;
    return op.neuron(options, {profile, instructions});
  }();
  if (!text) raise(text.errors());
  py::dict tables;
  for (const NeuronText::Table& t : text->tables)
    tables[t.name.c_str()] =
        py::array_t<float>(std::vector<py::ssize_t>(t.shape.begin(), t.shape.end()), t.data.data());
  py::dict out;
  out["nki"] = text->nki;
  out["program"] = text->program;
  out["schedule"] = text->schedule;
  out["target"] = text->target;
  out["tables"] = tables;
  py::dict packings;
  for (const NeuronText::Packing& p : text->packings)
    packings[p.name.c_str()] = py::make_tuple(
        py::tuple(py::cast(p.shape)), py::cpp_function([pack = p.pack](const py::buffer& from, const py::buffer& to) {
          pack(from.request().ptr, to.request(true).ptr);
        }));
  out["packings"] = packings;
  out["instructions"] = text->instructions;
  out["sbuf_bytes"] = text->sbuf_bytes;
  out["psum_banks"] = text->psum_banks;
  return out;
}

}  // namespace

void add_neuron(py::module_& m) { m.def("neuron_text", &text_of); }

}  // namespace heddle::python
