#include "tools/command.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "schedule/schedule.h"
#include "tools/codes.h"

namespace heddle::tools {
namespace {

nlohmann::json place_json(const Place& place) {
  nlohmann::json j;
  if (!place.known())
    return {{"file", nullptr}, {"line", nullptr}, {"column", nullptr}, {"end_line", nullptr}, {"end_column", nullptr}};
  auto begin = place.source->at(place.begin), end = place.source->at(place.end);
  return {{"file", place.source->name()},
          {"line", begin.line},
          {"column", begin.column},
          {"end_line", end.line},
          {"end_column", end.column}};
}

nlohmann::json as_json(const Diagnostic& d) {
  nlohmann::json j = place_json(d.place);
  j["code"] = d.code;
  j["severity"] = d.severity == Severity::error ? "error" : d.severity == Severity::warning ? "warning" : "note";
  j["message"] = d.message;
  j["labels"] = nlohmann::json::array();
  for (const Label& l : d.labels) {
    nlohmann::json at = place_json(l.place);
    j["labels"].push_back(
        {{"file", at["file"]}, {"line", at["line"]}, {"column", at["column"]}, {"message", l.message}});
  }
  j["help"] = d.help.empty() ? nlohmann::json(nullptr) : nlohmann::json(d.help);
  return j;
}

Result<Spec> parse_spec(const std::string& text) {
  size_t bracket = text.find('[');
  std::string name = text.substr(0, bracket);
  std::optional<ScalarType> type = ir::parse_scalar_type(name);
  if (!type) return wrong("`" + name + "` is no element type");
  Spec spec{*type, {}, true};
  if (bracket == std::string::npos) return spec;
  std::istringstream dims(text.substr(bracket + 1, text.size() - bracket - 2));
  for (std::string dim; std::getline(dims, dim, ',');) {
    char* end = nullptr;
    int64_t extent = std::strtoll(dim.c_str(), &end, 10);
    spec.extents.push_back(end != dim.c_str() && *end == 0 ? extent : -1);
  }
  return spec;
}

int write_text(const std::string& text, const std::string& path) {
  if (path.empty()) {
    std::cout << text;
    return exit_done;
  }
  std::ofstream file(path, std::ios::binary);
  if (file << text && file.flush()) return exit_done;
  return refuse({wrong("`" + path + "` cannot be written")});
}

// Those of every floor and the command's own.
std::vector<Code> all_codes() {
  std::vector<Code> rows = heddle::codes();
#define HEDDLE_CODE(name, id, title, explain) rows.push_back(codes::name);
#include "tools/codes.def"
#undef HEDDLE_CODE
  std::sort(rows.begin(), rows.end(), [](const Code& a, const Code& b) { return a.id < b.id; });
  return rows;
}

void list_module(const Module& module, bool schedules, const std::string& area) {
  for (const std::string& name : module.ops()) {
    Result<Op> op = module.op(name);
    if (!schedules) {
      std::cout << area << name << "  " << op->doc().substr(0, op->doc().find('\n')) << "\n";
      continue;
    }
    for (const std::string& s : op->schedules()) std::cout << area << name << "." << s << "\n";
  }
}

// The ops or schedules of a text, or of every file of the standard library as AREA.OP.
int list_texts(const std::string& what, const Options& o) {
  std::vector<std::pair<std::string, std::string>> files;  // an area with its dot, a file
  if (!o.file.empty()) {
    files.emplace_back("", o.file);
  } else if (std::string library = library_folder(); !library.empty()) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(library))
      if (std::string area = entry.path().parent_path().filename();
          entry.path().extension() == ".hd" && area != "machine")
        files.emplace_back(area + ".", entry.path());
    std::sort(files.begin(), files.end());
  } else {
    return refuse({wrong("the standard library is not found beside this program").with_help("name a file")});
  }
  for (const auto& [area, file] : files) {
    Result<Module> module = open_module(file);
    if (!module) return refuse(module.errors());
    list_module(*module, what == "schedules", area);
  }
  return exit_done;
}

// The text, and each table beside it as NAME.npy.
int emit_nki(const Op& op, CompileOptions request, const Options& o) {
  if (request.target == "auto") request.target = "neuron/trn2";
  NeuronOptions how{o.profile};
  if (o.instructions > 0) how.instructions = o.instructions;
  Result<NeuronText> text = op.neuron(request, how);
  if (!text) return refuse(text.errors());
  if (o.as == "program") return write_text(text->program, o.output);
  if (!text->tables.empty() && o.output.empty())
    return refuse({wrong("the text takes constant tables, which are written beside it: name a file by -o")});
  for (const NeuronText::Table& t : text->tables) {
    Array a = Array::zeros(ScalarType::f32, t.shape);
    std::copy(t.data.begin(), t.data.end(), reinterpret_cast<float*>(a.bytes.data()));
    std::filesystem::path path = std::filesystem::path(o.output).parent_path() / (t.name + ".npy");
    if (Result<Done> written = write_npy(path.string(), a); !written) return refuse(written.errors());
  }
  return write_text(text->nki, o.output);
}

}  // namespace

Diagnostic wrong(const std::string& text) { return Diagnostic(codes::wrong_option, {}, text); }

Result<Op> open_op(const Options& o) {
  Result<Module> module = open_module(o.file);
  if (!module) return module.errors();
  std::vector<std::string> known = module->ops();
  if (!o.op.empty()) return module->op(o.op);
  if (known.size() == 1) return module->op(known.front());
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "`" : ", `") + name + "`";
  return wrong("the text has " + std::to_string(known.size()) + " ops: choose one by --op")
      .with_help("its ops: " + list);
}

Result<std::vector<Array>> read_arrays(const Options& o) {
  std::vector<Array> out;
  for (const std::string& path : o.in) {
    Result<Array> a = read_npy(path);
    if (!a) return a.errors();
    out.push_back(std::move(*a));
  }
  return out;
}

// An integer keeps its 64 bits, a seed among them.
std::optional<Scalar> scalar_of(const std::string& text) {
  if (text.empty()) return {};
  char* end = nullptr;
  const bool whole = text.find_first_not_of("+-0123456789") == std::string::npos;
  if (whole) {
    const Scalar s = Scalar::of(text[0] == '-' ? int64_t{std::strtoll(text.c_str(), &end, 10)}
                                               : static_cast<int64_t>(std::strtoull(text.c_str(), &end, 10)));
    if (!*end) return s;
  }
  const double value = std::strtod(text.c_str(), &end);
  return *end ? std::optional<Scalar>() : Scalar::of(value);
}

Result<std::vector<Scalar>> scalars_of(const Op& op, const Options& o) {
  std::map<std::string, Scalar> given;
  for (const std::string& pair : o.scalars) {
    const size_t equals = pair.find('=');
    const std::optional<Scalar> value = equals == std::string::npos ? std::nullopt : scalar_of(pair.substr(equals + 1));
    if (!value) return wrong("`--scalar " + pair + "` is not NAME=VALUE");
    given[pair.substr(0, equals)] = *value;
  }
  std::vector<Scalar> out;
  for (const ParameterInfo& p : op.parameters()) {
    if (p.kind != ParameterInfo::Kind::scalar) continue;
    auto at = given.find(p.name);
    if (at != given.end()) out.push_back(at->second);
    else if (p.default_value) out.push_back({.left_out = true});
    else return wrong("the scalar `" + p.name + "` is not given: --scalar " + p.name + "=VALUE");
    given.erase(p.name);
  }
  if (!given.empty()) return wrong("`" + op.name() + "` has no scalar `" + given.begin()->first + "`");
  return out;
}

Result<std::vector<Array>> make_outputs(const Op& op, const Kernel& kernel, std::vector<Array>& inputs) {
  std::vector<Buffer> buffers;
  for (Array& a : inputs) buffers.push_back(a.buffer());
  Result<std::vector<std::vector<int64_t>>> extents = kernel.output_extents(buffers);
  if (!extents) return extents.errors();
  std::vector<ScalarType> types = kernel.output_types();
  std::vector<Array> out;
  for (size_t i = 0; i < extents->size(); ++i) {
    out.push_back(Array::zeros(types[i], (*extents)[i]));
    int64_t cells = 1;
    for (int64_t e : (*extents)[i]) cells *= e;
    if (cells && out.back().bytes.empty()) return wrong("an output of `" + op.name() + "` does not fit in memory");
  }
  return out;
}

int refuse(const Diagnostics& diagnostics) {
  std::cerr << render(diagnostics);
  return exit_refused;
}

Result<Module> open_module(const std::string& file) {
  if (file != "-") return Module::load(file);
  std::string text{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  return Module::parse(std::move(text), "<stdin>");
}

Result<std::map<std::string, int64_t>> numbers(const std::vector<std::string>& pairs, const char* option) {
  std::map<std::string, int64_t> out;
  for (const std::string& pair : pairs) {
    size_t equals = pair.find('=');
    char* end = nullptr;
    errno = 0;
    int64_t value = equals == std::string::npos ? 0 : std::strtoll(pair.c_str() + equals + 1, &end, 10);
    if (equals == std::string::npos || *end || end == pair.c_str() + equals + 1 || errno)
      return wrong("`" + std::string(option) + " " + pair + "` is not NAME=NUMBER");
    out[pair.substr(0, equals)] = value;
  }
  return out;
}

namespace {

Diagnostic wrong_count(const Op& op, size_t given, size_t taken) {
  return wrong(std::to_string(given) + (given == 1 ? " array is" : " arrays are") + " given by --in; `" + op.name() +
               "` takes " + std::to_string(taken));
}

}  // namespace

Result<CompileOptions> request_of(const Op& op, const Options& o, const std::vector<Array>& inputs, bool for_emission) {
  CompileOptions r;
  if (o.has_schedule) r.schedule = o.schedule;
  r.target = o.target;
  r.for_emission = for_emission;
  r.threads = o.threads;
  auto take = [&](const std::vector<std::string>& pairs, const char* option,
                  std::map<std::string, int64_t>& into) -> Result<Done> {
    Result<std::map<std::string, int64_t>> n = numbers(pairs, option);
    if (!n) return n.errors();
    into = *n;
    return Done{};
  };
  if (auto d = take(o.fix, "--fix", r.fix); !d) return d.errors();
  if (auto d = take(o.tune, "--tune", r.tune); !d) return d.errors();
  if (auto d = take(o.consts, "--const", r.consts); !d) return d.errors();
  size_t next = 0;
  std::map<std::string, ScalarType> generics;  // what an array before has
  std::vector<size_t> open;                    // arrays of a generic type that nothing says
  for (const ParameterInfo& p : op.parameters()) {
    if (p.output || p.kind != ParameterInfo::Kind::array) continue;
    Spec spec{ScalarType::f32, std::vector<int64_t>(p.dims.size(), -1), true};
    if (std::optional<ScalarType> declared = ir::parse_scalar_type(p.type)) spec.type = *declared;
    else if (auto known = generics.find(p.type); known != generics.end()) spec.type = known->second;
    else if (next >= inputs.size() && next >= o.types.size()) open.push_back(next);
    if (next < inputs.size()) {
      const Array& a = inputs[next];
      spec = {a.type, a.extents, a.extents.empty() || a.strides.back() == 1};
    } else if (next < o.types.size()) {
      Result<Spec> given = parse_spec(o.types[next]);
      if (!given) return given.errors();
      if (o.types[next].find('[') != std::string::npos) spec.extents = given->extents;
      spec.type = given->type;
    }
    if (next < inputs.size() || next < o.types.size()) generics.emplace(p.type, spec.type);
    ++next;
    r.arrays.push_back(std::move(spec));
  }
  if (inputs.size() > next) return wrong_count(op, inputs.size(), next);
  // f32 where it serves, else the first of those that the op takes.
  for (ScalarType type : {ScalarType::f32, ScalarType::i32, ScalarType::boolean}) {
    if (open.empty()) break;
    for (size_t i : open) r.arrays[i].type = type;
    CompileOptions canonical = r;
    canonical.schedule = "";
    Result<Op::States> states = op.states(canonical);
    if (states || states.errors()[0].code != "HD0124") break;
  }
  return r;
}

int check(const Options& o) {
  Result<Module> module = open_module(o.file);
  Diagnostics found = module ? module->check_schedules() : module.errors();
  if (!o.json) return found.empty() ? exit_done : refuse(found);
  nlohmann::json j = {{"ok", found.empty()}, {"diagnostics", nlohmann::json::array()}};
  for (const Diagnostic& d : found) j["diagnostics"].push_back(as_json(d));
  std::cout << j.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  return found.empty() ? exit_done : exit_refused;
}

int run(const Options& o, bool interpret) {
  Result<Op> op = open_op(o);
  if (!op) return refuse(op.errors());
  Result<std::vector<Array>> read = read_arrays(o);
  if (!read) return refuse(read.errors());
  std::vector<Array>& arrays = *read;
  Result<CompileOptions> request = request_of(*op, o, arrays);
  if (!request) return refuse(request.errors());
  if (arrays.size() < request->arrays.size()) return refuse({wrong_count(*op, arrays.size(), request->arrays.size())});
  Result<std::vector<Scalar>> scalars = scalars_of(*op, o);
  if (!scalars) return refuse(scalars.errors());
  Result<Kernel> kernel = op->compile(*request);
  if (!kernel) return refuse(kernel.errors());
  Result<std::vector<Array>> outputs = make_outputs(*op, *kernel, arrays);
  if (!outputs) return refuse(outputs.errors());
  // Results first, then what the op updates in place.
  std::vector<size_t> updated;
  size_t next = 0;
  for (const ParameterInfo& p : op->parameters())
    if (p.kind == ParameterInfo::Kind::array && !p.output && next++ < arrays.size() && p.inout)
      updated.push_back(next - 1);
  if (o.out.size() > outputs->size() + updated.size())
    return refuse({wrong("more files by --out than `" + op->name() + "` has outputs and arrays that it updates")});

  std::vector<Buffer> buffers;
  for (Array& a : arrays) buffers.push_back(a.buffer());
  for (Array& a : *outputs) buffers.push_back(a.buffer());
  Result<Done> done = interpret ? op->interpret(*request, buffers, *scalars) : (*kernel)(buffers, *scalars);
  if (!done) return refuse(done.errors());
  for (size_t i = 0; i < o.out.size(); ++i) {
    const Array& a = i < outputs->size() ? (*outputs)[i] : arrays[updated[i - outputs->size()]];
    if (Result<Done> written = write_npy(o.out[i], a); !written) return refuse(written.errors());
  }
  return exit_done;
}

int lower(const Options& o) {
  Result<Op> op = open_op(o);
  if (!op) return refuse(op.errors());
  Result<CompileOptions> request = request_of(*op, o, {}, true);
  if (!request) return refuse(request.errors());
  Result<Op::States> states = op->states(*request);
  if (!states) return refuse(states.errors());
  size_t last = states->states.size() - 1;
  bool wanted_exists = o.after >= 0 && static_cast<size_t>(o.after) <= last;
  if (wanted_exists) last = o.after;
  if (o.why)
    for (size_t i = 1; i <= last; ++i) {
      std::cout << "// " << i << ". " << states->states[i].step << "\n";
      for (const std::string& line : states->states[i].certificate) std::cout << "//    " << line << "\n";
    }
  std::cout << states->states[last].program;
  if (!states->refusal.empty() && !wanted_exists) {
    std::cerr << "the program above is the one before the step that was refused\n";
    return refuse(states->refusal);
  }
  if (o.after >= 0 && !wanted_exists)
    return refuse({wrong("the schedule has " + std::to_string(states->states.size() - 1) + " steps")});
  return exit_done;
}

namespace {

// f.o and, beside it, f.h.
int emit_object(const Kernel& kernel, const Options& o) {
  const size_t dot = o.output.rfind('.');
  if (o.output.empty() || o.output == "-" || dot == std::string::npos || o.output.substr(dot) != ".o") {
    std::cerr << "heddle: an object needs a file: -o NAME.o\n";
    return exit_usage;
  }
  Result<Kernel::AheadOfTime> made = kernel.ahead_of_time(o.function);
  if (!made) return refuse(made.errors());
  if (int status = write_text(std::string(made->object.begin(), made->object.end()), o.output); status != exit_done)
    return status;
  return write_text(made->header, o.output.substr(0, dot) + ".h");
}

}  // namespace

int emit(const Options& o) {
  Result<Op> op = open_op(o);
  if (!op) return refuse(op.errors());
  Result<CompileOptions> request = request_of(*op, o, {}, true);
  if (!request) return refuse(request.errors());
  bool neuron = o.as == "nki" || o.target.starts_with("neuron") || o.target.starts_with("trn");
  if (neuron && o.as != "nki" && o.as != "program")
    return refuse({wrong("`--as " + o.as + "` is of the host; a NeuronCore has `--as nki`")});
  if (neuron) return emit_nki(*op, *request, o);
  Result<Kernel> kernel = op->compile(*request);
  if (!kernel) return refuse(kernel.errors());
  if (o.as == "program") return write_text(kernel->program(), o.output);
  if (o.as == "object") return emit_object(*kernel, o);
  Result<std::string> text = o.as == "llvm" ? kernel->llvm() : o.as == "memory" ? kernel->memory() : kernel->assembly();
  if (!text) return refuse(text.errors());
  return write_text(*text, o.output);
}

int list(const std::string& what, const Options& o) {
  if (what == "targets") {
    const std::vector<std::string> here = targets();
    for (const std::string& name : here) std::cout << name << "\n";
    for (const char* name : {"cpu/amx", "cpu/avx512", "cpu/avx2", "cpu/x86-64-v2"})
      if (std::find(here.begin(), here.end(), name) == here.end())
        std::cout << name << "  not on this machine: emit prints its code\n";
    for (const char* name : {"neuron/trn1", "neuron/trn2", "neuron/trn3"})
      std::cout << name << "  as NKI text: emit --as nki, simulate\n";
    return exit_done;
  }
  if (what == "steps") {
    for (const schedule::StepRow& row : schedule::step_rows()) std::cout << row.usage << "\n    " << row.help << "\n";
    return exit_done;
  }
  if (what == "codes") {
    for (const Code& c : all_codes()) std::cout << c.id << "  " << c.title << "\n";
    return exit_done;
  }
  return list_texts(what, o);
}

int explain(std::string code) {
  std::transform(code.begin(), code.end(), code.begin(), [](unsigned char c) { return std::toupper(c); });
  std::vector<std::string> known;
  for (const Code& c : all_codes()) {
    if (c.id == code) {
      std::cout << c.id << ": " << c.title << "\n\n" << c.explain << "\n";
      return exit_done;
    }
    known.push_back(std::string(c.id));
  }
  Diagnostic d = wrong("there is no code `" + code + "`");
  if (std::string near = nearest(code, known); !near.empty()) d.help = "did you mean `" + near + "`?";
  return refuse({d});
}

int doctor() {
  std::cout << "heddle " << version() << "\ntargets:";
  for (const std::string& name : targets()) std::cout << " " << name;
  std::cout << "\nthreads: " << threads() << "\n";
  const CacheInfo kept = cache();
  std::cout << "cache on disk: " << (kept.on ? kept.folder : "off: " + kept.why_off) << "\n";
  const std::string library = library_folder();
  std::cout << "standard library: " << (library.empty() ? "not found beside this program" : library) << "\n";
  Result<Module> module = Module::parse("op twice(x: f32[n]) -> y: f32[n] { y[i] = x[i] + x[i] }");
  if (!module) return refuse(module.errors());
  Result<Kernel> kernel = module->op("twice")->compile({.arrays = {{ScalarType::f32, {-1}}}});
  if (!kernel) return refuse(kernel.errors());
  float x[3] = {1, 2, 3}, y[3] = {};
  Result<Done> done = (*kernel)({Buffer::of(x, {3}), Buffer::of(y, {3})});
  if (!done) return refuse(done.errors());
  bool right = y[0] == 2 && y[1] == 4 && y[2] == 6;
  std::cout << "compiling and running a kernel: " << (right ? "works" : "gives a wrong answer") << "\n";
  return right ? exit_done : exit_bug;
}

}  // namespace heddle::tools
