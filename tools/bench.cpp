// heddle bench: the schedules of an op beside each other, in turns, on random arrays.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "tools/command.h"

namespace heddle::tools {
namespace {

// Numbers in -1 .. 1 for f32 and f64; zeros for the rest: legal as indices, quick to make, and no type is slower on them.
Array random_array(const Spec& spec, std::mt19937& random) {
  Array a = Array::zeros(spec.type, spec.extents);
  std::uniform_real_distribution<double> uniform(-1, 1);
  auto fill = [&](auto one) {
    for (size_t i = 0; i + sizeof one <= a.bytes.size(); i += sizeof one) {
      one = static_cast<decltype(one)>(uniform(random));
      std::memcpy(a.bytes.data() + i, &one, sizeof one);
    }
  };
  if (spec.type == ScalarType::f32) fill(float{});
  if (spec.type == ScalarType::f64) fill(double{});
  return a;
}

struct Contender {
  std::string schedule;
  Kernel kernel;
  double compile_ms = 0;
  std::vector<double> us;
  double median() {
    std::sort(us.begin(), us.end());
    return us[us.size() / 2];
  }
};

class Stopwatch {
 public:
  double us() const {
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Microseconds of one call; short ones are repeated so that the clock does not matter.
Result<double> sample(Contender& c, const std::vector<Buffer>& buffers, const std::vector<Scalar>& scalars) {
  Stopwatch once;
  if (Result<Done> done = c.kernel(buffers, scalars); !done) return done.errors();
  const int count = static_cast<int>(std::clamp(200 / std::max(once.us(), 0.1), 1.0, 2000.0));
  Stopwatch all;
  for (int i = 0; i < count; ++i)
    if (Result<Done> done = c.kernel(buffers, scalars); !done) return done.errors();
  return all.us() / count;
}

// The schedules that the options ask for; without `--schedule` all that serve this request.
Result<std::vector<Contender>> contenders(const Op& op, const Options& o, CompileOptions request) {
  std::vector<std::string> names = o.has_schedule ? std::vector<std::string>{o.schedule} : op.schedules();
  if (names.empty()) names.push_back("");
  std::vector<Contender> out;
  Diagnostics refused;
  for (const std::string& name : names) {
    request.schedule = name;
    Stopwatch watch;
    Result<Kernel> kernel = op.compile(request);
    if (kernel) out.push_back({name, *kernel, watch.us() / 1000, {}});
    else refused = kernel.errors();
  }
  if (out.empty()) return refused;
  return out;
}

std::string title(const Contender& c) { return c.schedule.empty() ? "(no schedule)" : c.schedule; }

}  // namespace

int bench(const Options& o) {
  Result<Op> op = open_op(o);
  if (!op) return refuse(op.errors());
  Result<std::vector<Array>> read = read_arrays(o);
  if (!read) return refuse(read.errors());
  std::vector<Array>& inputs = *read;
  Result<CompileOptions> request = request_of(*op, o, inputs);
  if (!request) return refuse(request.errors());
  std::mt19937 random(1);
  for (size_t i = inputs.size(); i < request->arrays.size(); ++i) {
    const Spec& spec = request->arrays[i];
    if (std::any_of(spec.extents.begin(), spec.extents.end(), [](int64_t e) { return e < 0; }))
      return refuse({wrong("the size of array " + std::to_string(i + 1) + " is not given")
                         .with_help("give arrays by --in, or sizes such as --types 'f32[64,1000]'")});
    inputs.push_back(random_array(spec, random));
  }
  Result<std::vector<Scalar>> scalars = scalars_of(*op, o);
  if (!scalars) return refuse(scalars.errors());
  Result<std::vector<Contender>> made = contenders(*op, o, *request);
  if (!made) return refuse(made.errors());
  Result<std::vector<Array>> outputs = make_outputs(*op, made->front().kernel, inputs);
  if (!outputs) return refuse(outputs.errors());
  std::vector<Buffer> buffers;
  for (Array& a : inputs) buffers.push_back(a.buffer());
  for (Array& a : *outputs) buffers.push_back(a.buffer());

  // A schedule whose `where` does not take these sizes drops out at its first call.
  Diagnostics refused;
  std::erase_if(*made, [&](Contender& c) {
    Result<Done> done = c.kernel(buffers, *scalars);
    if (!done) refused = done.errors();
    return !done;
  });
  if (made->empty()) return refuse(refused);
  Stopwatch all;
  for (int round = 0; round < 5 || (all.us() < o.seconds * 1e6 && round < 10'000); ++round)
    for (Contender& c : *made) {
      Result<double> us = sample(c, buffers, *scalars);
      if (!us) return refuse(us.errors());
      c.us.push_back(*us);
    }

  nlohmann::json rows = nlohmann::json::array();
  for (Contender& c : *made) {
    double median = c.median();
    if (o.json)
      rows.push_back({{"op", op->name()},
                      {"schedule", c.schedule},
                      {"target", c.kernel.target()},
                      {"us", median},
                      {"us_min", c.us.front()},
                      {"compile_ms", c.compile_ms},
                      {"samples", c.us.size()}});
    else
      std::cout << std::left << std::setw(24) << title(c) << std::right << std::fixed << std::setprecision(2)
                << std::setw(12) << median << " us  (best " << c.us.front() << ", compiled in " << c.compile_ms
                << " ms)\n";
  }
  if (o.json) std::cout << rows.dump(1) << "\n";
  return exit_done;
}

}  // namespace heddle::tools
