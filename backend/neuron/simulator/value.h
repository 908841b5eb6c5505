// What an expression of a kernel is at specialisation: Python's integers, tuples and so on, symbols of nl and nisa, tensors.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "backend/neuron/simulator/trace.h"

namespace heddle::neuron::sim {

struct Value;
struct Scope;
struct Stmt;

struct None {};
/// A name of the NKI packages: "nl.add", "nisa.engine.vector", "nisa.nc_matmul".
struct Symbol {
  std::string path;
};
struct Sequence {
  std::shared_ptr<std::vector<Value>> items;
  bool list = false;
};
struct Range {
  int64_t start = 0, stop = 0, step = 1;
  int64_t count() const;
};
struct SliceValue {
  bool has_start = false, has_stop = false, has_step = false;
  int64_t start = 0, stop = 0, step = 1;
};
struct Ellipsis {};
/// The number of a loop that runs on the device. Addresses may go by it; Python's own steps are over when it has a value.
struct Register {
  int64_t value = 0;
};
/// A function of the text and the scope it was defined in.
struct Closure {
  const Stmt* definition = nullptr;
  std::shared_ptr<Scope> scope;
};
/// A method of a tensor or of a list, waiting for its call.
struct Method {
  std::shared_ptr<Value> object;
  std::string name;
};

struct Value {
  std::variant<None, bool, int64_t, double, std::string, Symbol, View, Sequence, Range, SliceValue, Ellipsis, Closure,
               Method, Register>
      v;

  template <class T>
  const T* as() const {
    return std::get_if<T>(&v);
  }
};

/// What a message calls it: "an integer", "a tuple".
std::string kind_of(const Value& value);

}  // namespace heddle::neuron::sim
