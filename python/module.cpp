// The module _heddle: handles of the C++ surface, wrapped by python/heddle into what users see.
#include <pybind11/stl.h>

#include <chrono>

#include "api/chooser.h"
#include "python/arrays.h"
#include "python/dlpack.h"
#include "python/kernel_object.h"
#include "python/known_calls.h"
#include "python/neuron.h"
#include "python/simulate.h"
#include "schedule/schedule.h"

namespace heddle::python {
namespace {

template <class T>
T value_or_raise(Result<T> result) {
  if (!result) raise(result.errors());
  return std::move(*result);
}

py::object place_number(const Place& place, bool column, bool end = false) {
  if (!place.known()) return py::none();
  auto at = place.source->at(end ? place.end : place.begin);
  return py::int_(column ? at.column : at.line);
}

py::dict as_dict(const Diagnostic& d) {
  py::dict out;
  out["code"] = d.code;
  out["severity"] = d.severity == Severity::error ? "error" : d.severity == Severity::warning ? "warning" : "note";
  out["message"] = d.message;
  out["file"] = d.place.known() ? py::object(py::str(d.place.source->name())) : py::none();
  out["line"] = place_number(d.place, false);
  out["column"] = place_number(d.place, true);
  out["end_line"] = place_number(d.place, false, true);
  out["end_column"] = place_number(d.place, true, true);
  py::list labels;
  for (const Label& l : d.labels) {
    py::dict label;
    label["file"] = l.place.known() ? py::object(py::str(l.place.source->name())) : py::none();
    label["line"] = place_number(l.place, false);
    label["column"] = place_number(l.place, true);
    label["message"] = l.message;
    labels.append(label);
  }
  out["labels"] = labels;
  out["help"] = d.help.empty() ? py::object(py::none()) : py::str(d.help);
  return out;
}

// Ctrl-C during long work: the signal's handler runs, its exception ends the work and is raised once the work is undone. Python runs
// handlers on its main thread only. Taking its lock may wait for other threads, so that is done seldom, and never for short work.
class Interrupt {
 public:
  explicit Interrupt(CompileOptions& options) {
    py::object main = py::module_::import("threading").attr("main_thread")();
    if (main.attr("ident").cast<unsigned long>() != PyThread_get_thread_ident()) return;
    options.stop = [this] {
      const auto now = std::chrono::steady_clock::now();
      if (now - looked_ < std::chrono::milliseconds(50)) return false;
      looked_ = now;
      py::gil_scoped_acquire locked;
      if (PyErr_CheckSignals() == 0) return false;
      raised_ = std::make_unique<py::error_already_set>();
      return true;
    };
  }
  /// With the lock of Python held.
  void rethrow() {
    if (raised_) throw py::error_already_set(std::move(*raised_));
  }

 private:
  std::chrono::steady_clock::time_point looked_ = std::chrono::steady_clock::now();
  std::unique_ptr<py::error_already_set> raised_;
};

// Long work without Python's lock, under the limits of its request.
template <class F>
auto long_work(CompileOptions options, F work) {
  Interrupt interrupt(options);
  auto result = [&] {
    py::gil_scoped_release unlocked;
    return work(options);
  }();
  interrupt.rethrow();
  return value_or_raise(std::move(result));
}

// What python/heddle passes for each array: (type name, extents, unit inner stride).
std::vector<Spec> specs(const py::list& list) {
  std::vector<Spec> out;
  for (py::handle item : list) {
    auto [name, extents, unit] = item.cast<std::tuple<std::string, std::vector<int64_t>, bool>>();
    std::optional<ScalarType> type = ir::parse_scalar_type(name);
    if (!type) throw py::type_error("`" + name + "` is no element type");
    out.push_back({*type, std::move(extents), unit});
  }
  return out;
}

CompileOptions request(const py::list& arrays, std::map<std::string, int64_t> consts,
                       std::optional<std::string> schedule, std::map<std::string, int64_t> tune,
                       std::map<std::string, int64_t> fix, std::string target, int threads, double time_limit_s) {
  CompileOptions options;
  options.arrays = specs(arrays);
  options.consts = std::move(consts);
  options.schedule = std::move(schedule);
  options.tune = std::move(tune);
  options.fix = std::move(fix);
  options.target = std::move(target);
  options.threads = threads;
  options.time_limit_s = time_limit_s;
  return options;
}

Buffer buffer_of(py::handle object, const std::string& name, Keep& keep) {
  ArrayView view;
  Refusal refusal;
  if (!view_array(object.ptr(), view, keep, refusal)) raise({refusal.of(name)});
  return {view.arg.data,
          view.arg.type,
          {view.extents, view.extents + view.arg.rank},
          {view.strides, view.strides + view.arg.rank},
          view.arg.readonly};
}

// Arrays of one call, and what they live in.
struct Buffers {
  std::vector<Buffer> list;
  Keep keep;
  explicit Buffers(const py::list& arrays) {
    for (py::handle a : arrays) list.push_back(buffer_of(a, "#" + std::to_string(list.size() + 1), keep));
  }
};

// Integers by their bits: a seed has 64 of them. None takes its default.
std::vector<Scalar> scalars_of(const py::list& values) {
  std::vector<Scalar> out;
  for (py::handle v : values) {
    if (v.is_none()) out.push_back({.left_out = true});
    else if (PyLong_Check(v.ptr()))
      out.push_back(Scalar::of(static_cast<int64_t>(PyLong_AsUnsignedLongLongMask(v.ptr()))));
    else out.push_back(Scalar::of(v.cast<double>()));
  }
  return out;
}

// (type name, extents, unit inner stride) of an array argument.
py::tuple describe(py::handle object, const std::string& name) {
  Keep keep;
  Buffer b = buffer_of(object, name, keep);
  bool unit = b.extents.empty() || b.strides.back() == 1 || b.extents.back() <= 1;
  return py::make_tuple(std::string(ir::scalar_type_name(b.type)), b.extents, unit);
}

// Any array as one of NumPy's, over the same memory.
py::object as_numpy(const py::object& object, const std::string& name) {
  if (is_ndarray(object.ptr())) return object;
  Keep keep;
  Buffer b = buffer_of(object, name, keep);
  std::vector<py::ssize_t> strides;
  for (int64_t s : b.strides) strides.push_back(s * ir::scalar_bytes(b.type));
  py::array out(py::reinterpret_borrow<py::dtype>(dtypes().dtype(b.type)),
                std::vector<py::ssize_t>(b.extents.begin(), b.extents.end()), strides, b.data,
                py::make_tuple(object, py::cast(keep)));
  if (b.readonly) out.attr("setflags")(py::arg("write") = false);
  return out;
}

py::dict parameter(const ParameterInfo& p) {
  py::dict d;
  d["name"] = p.name;
  d["kind"] = p.kind == ParameterInfo::Kind::array    ? "array"
              : p.kind == ParameterInfo::Kind::scalar ? "scalar"
                                                      : "const";
  d["type"] = p.type;
  d["dims"] = p.dims;
  d["output"] = p.output;
  d["inout"] = p.inout;
  d["default"] = p.default_value ? py::object(py::float_(*p.default_value)) : py::none();
  return d;
}

py::dict numerics(const Numerics& n) {
  using namespace py::literals;
  py::list stages;
  for (const ir::StageNumerics& s : n.stages) {
    py::list functions;
    for (const auto& f : s.functions)
      functions.append(py::dict("name"_a = f.name, "type"_a = std::string(ir::scalar_type_name(f.type)),
                                "ulp"_a = f.ulp, "exact"_a = f.exact));
    stages.append(py::dict("stage"_a = s.stage, "type"_a = std::string(ir::scalar_type_name(s.type)),
                           "reducer"_a = s.reducer, "rounds"_a = s.rounds, "reassociated"_a = s.reassociated,
                           "contracts"_a = s.contracts, "functions"_a = functions));
  }
  return py::dict("stages"_a = stages, "instructions"_a = n.instructions, "flushes_denormals"_a = n.flushes_denormals,
                  "rounds"_a = n.rounds, "one_answer"_a = n.one_answer, "portable"_a = n.portable);
}

void add_op(py::module_& m) {
  using namespace py::literals;
  py::class_<api::Chooser>(m, "Chooser")
      .def("choose",
           [](const api::Chooser& c, const py::list& arrays) {
             Buffers buffers(arrays);
             std::vector<jit::ArrayArg> args;
             for (const Buffer& b : buffers.list)
               args.push_back(
                   {b.type, static_cast<int>(b.extents.size()), b.extents.data(), b.strides.data(), b.data, false});
             args.resize(args.size() + 64);  // outputs are not looked at
             return c.choose(args.data());
           })
      .def_property_readonly("constant", &api::Chooser::constant);
  py::class_<Op>(m, "Op")
      .def_property_readonly("name", &Op::name)
      .def_property_readonly("doc", &Op::doc)
      .def_property_readonly("text", &Op::text)
      .def_property_readonly("schedules", &Op::schedules)
      .def("schedule_lines", [](const Op& op, const std::string& name) { return op.schedule_lines(name); })
      .def("schedule_text",
           [](const Op& op, const std::string& schedule, const std::string& name,
              const std::map<std::string, int64_t>& choices) { return op.schedule_text(schedule, name, choices); })
      .def("tune_variables",
           [](const Op& op, const CompileOptions& options) {
             py::list out;
             for (const TuneVariable& t : value_or_raise(op.tune_variables(options)))
               out.append(py::make_tuple(t.name, t.value, t.choices));
             return out;
           })
      .def_property_readonly("parameters",
                             [](const Op& op) {
                               py::list out;
                               for (const ParameterInfo& p : op.parameters()) out.append(parameter(p));
                               return out;
                             })
      .def("compile",
           [](const Op& op, const CompileOptions& options) {
             Kernel kernel = long_work(options, [&](const CompileOptions& o) { return op.compile(o); });
             return make_kernel(std::move(kernel), op.parameters(), op.name());
           })
      .def("chooser",
           [](const Op& op, const CompileOptions& options) {
             return value_or_raise(api::Chooser::find_or_make(*op.impl(), options));
           })
      .def("numerics",
           [](const Op& op, const CompileOptions& options) {
             return numerics(long_work(options, [&](const CompileOptions& o) { return op.numerics(o); }));
           })
      .def("states",
           [](const Op& op, const CompileOptions& options) {
             Op::States s = long_work(options, [&](const CompileOptions& o) { return op.states(o); });
             py::list states;
             for (const StateInfo& i : s.states) states.append(py::make_tuple(i.step, i.program, i.certificate));
             py::list refusal;
             for (const Diagnostic& d : s.refusal) refusal.append(as_dict(d));
             return py::make_tuple(states, refusal, render(s.refusal));
           })
      .def("interpret",
           [](const Op& op, const CompileOptions& options, const py::list& arrays, const py::list& scalars,
              uint64_t seed) {
             Buffers buffers(arrays);
             const std::vector<Scalar> values = scalars_of(scalars);
             long_work(options, [&](const CompileOptions& o) { return op.interpret(o, buffers.list, values, seed); });
           })
      .def("reference",
           [](const Op& op, const CompileOptions& options, const py::list& arrays, const py::list& scalars) {
             py::list out;
             Buffers buffers(arrays);
             const std::vector<Scalar> values = scalars_of(scalars);
             std::vector<Op::Bounded> bounded =
                 long_work(options, [&](const CompileOptions& o) { return op.reference(o, buffers.list, values); });
             for (Op::Bounded& b : bounded)
               out.append(py::make_tuple(py::array_t<double>(b.value.size(), b.value.data()),
                                         py::array_t<double>(b.bound.size(), b.bound.data())));
             return out;
           });
}

}  // namespace

void raise(const Diagnostics& diagnostics) {
  py::list list;
  for (const Diagnostic& d : diagnostics) list.append(as_dict(d));
  py::object error = py::module_::import("heddle.errors").attr("make")(list, render(diagnostics));
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  throw py::error_already_set();
}

}  // namespace heddle::python

PYBIND11_MODULE(_heddle, m) {
  using namespace heddle;
  using namespace heddle::python;
  m.doc() = "Handles of Heddle's C++ surface; users import heddle.";
  dtypes();
  add_kernel_type(m);
  add_export_type(m);
  py::class_<CompileOptions>(m, "CompileOptions");
  add_op(m);
  add_known_calls(m);
  add_neuron(m);
  py::class_<Program>(m, "Program", "A printed program read back.")
      .def("__repr__", [](const Program& p) { return "<heddle.Program " + p.name() + ">"; })
      .def_property_readonly("name", &Program::name)
      .def_property_readonly("text", &Program::text)
      .def("_repr_html_",
           [](const Program& p) { return py::module_::import("heddle.display").attr("program_html")(p.text()); })
      .def("__reduce__",
           [](const Program& p) {
             return py::make_tuple(py::module_::import("heddle.module").attr("_rebuild_program"),
                                   py::make_tuple(p.text(), p.name()));
           })
      .def_property_readonly("parameters",
                             [](const Program& p) {
                               py::list out;
                               for (const ParameterInfo& info : p.parameters()) out.append(parameter(info));
                               return out;
                             })
      .def(
          "compile",
          [](const Program& p, const std::string& target, int threads) {
            py::object kernel = make_kernel(value_or_raise(p.compile(target, threads)), p.parameters(), p.name());
            set_recipe(kernel, py::module_::import("heddle.module").attr("_rebuild_program_kernel"),
                       py::make_tuple(p.text(), p.name(), target, threads));
            return kernel;
          },
          py::arg("target") = "auto", py::arg("threads") = 0, "A Kernel of this very program.")
      .def(
          "interpret",
          [](const Program& p, const py::list& arrays, const py::list& scalars, uint64_t seed) {
            value_or_raise(p.interpret(Buffers(arrays).list, scalars_of(scalars), seed));
          },
          py::arg("arrays"), py::arg("scalars") = py::list(), py::arg("seed") = 1,
          "Runs the reference interpreter on all array parameters, inputs and then outputs.");
  py::class_<Module>(m, "Module")
      .def_property_readonly("is_read", [](const Module& self) { return self.impl()->times().parse > 0; })
      .def_property_readonly("text", [](const Module& self) { return std::string(self.impl()->source().text()); })
      .def_property_readonly("programs", &Module::programs)
      .def("check",
           [](const Module& self) {
             if (Diagnostics found = self.check_schedules(); !found.empty()) raise(found);
           })
      .def("program", [](const Module& self, const std::string& name) { return value_or_raise(self.program(name)); })
      .def("extend", [](const Module& self, std::string text,
                        std::string name) { return value_or_raise(self.extend(std::move(text), std::move(name))); })
      .def_property_readonly("ops", &Module::ops)
      .def("op", [](const Module& self, const std::string& name) { return value_or_raise(self.op(name)); });
  m.def("parse", [](std::string text, std::string name) {
    return value_or_raise(Module::parse(std::move(text), std::move(name)));
  });
  m.def("load", [](const std::string& path) { return value_or_raise(Module::load(path)); });
  m.def("request", &request, py::arg("arrays"), py::arg("consts"), py::arg("schedule"), py::arg("tune"), py::arg("fix"),
        py::arg("target"), py::arg("threads"), py::arg("time_limit_s") = 0.0);
  m.def("describe", &describe);
  m.def("set_recipe", &set_recipe);
  m.def("as_numpy", &as_numpy);
  // Before Python takes itself apart, and libraries after it.
  py::module_::import("atexit").attr("register")(py::cpp_function([] {
    py::gil_scoped_release unlocked;
    host::finish_abandoned();
  }));
  m.def("set_threads", &set_threads);
  m.def("threads", &threads);
  m.def("set_cache", &set_cache);
  m.def("cache", [] {
    py::dict d;
    CacheInfo c = [] {
      py::gil_scoped_release unlocked;
      return cache();
    }();
    d["on"] = c.on;
    d["folder"] = c.folder;
    d["why_off"] = c.why_off;
    d["hits"] = c.hits;
    d["misses"] = c.misses;
    d["stored"] = c.stored;
    return d;
  });
  m.def("targets", &targets);
  m.def("format",
        [](std::string text, std::string name) { return value_or_raise(format(std::move(text), std::move(name))); });
  bind_simulator(m);
  m.def("version", [] { return std::string(version()); });
  m.def("steps", [] {
    py::list out;
    for (const schedule::StepRow& row : schedule::step_rows())
      out.append(py::make_tuple(std::string(row.name), std::string(row.usage), std::string(row.help)));
    return out;
  });
  m.def("codes", [] {
    py::list out;
    for (const Code& c : codes())
      out.append(py::make_tuple(std::string(c.id), std::string(c.title), std::string(c.explain)));
    return out;
  });
  m.def("allocate", [](const std::string& type, const std::vector<int64_t>& extents) {
    std::optional<ScalarType> t = ir::parse_scalar_type(type);
    if (!t) throw py::type_error("`" + type + "` is no element type");
    return allocate(*t, extents);
  });
}
