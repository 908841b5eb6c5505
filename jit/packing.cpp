#include "jit/packing.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "ir/float_format.h"
#include "ir/print.h"
#include "ir/prove.h"
#include "jit/codes.h"
#include "jit/plan.h"

namespace heddle::jit {

namespace {

uint64_t bits_of(ir::ScalarType type, const ir::Constant& c) {
  if (type == ir::ScalarType::f64) return std::bit_cast<uint64_t>(c.real);
  if (type == ir::ScalarType::f32) return std::bit_cast<uint32_t>(static_cast<float>(c.real));
  if (ir::is_float(type)) return ir::encode_float(type, c.real);
  return static_cast<uint64_t>(c.integer);
}

}  // namespace

Result<Packing> Packing::make(const ir::Program& program, const ir::Buffer& buffer) {
  auto refuse = [&](const std::string& why) {
    return Diagnostic(codes::unsupported_shape, buffer.place, "`" + buffer.name + "` cannot be packed: " + why);
  };
  Packing out;
  out.bytes_ = ir::scalar_bytes(buffer.type);
  std::optional<std::vector<ir::Digit>> digits = ir::digits_of(*buffer.layout);
  if (!digits) return refuse("its layout is not made of indices, their quotients and remainders");
  out.digits_ = *std::move(digits);
  for (const ir::BoxDim& d : buffer.box) {
    const int64_t* n = ir::constant_value(ir::simplify(d.hi - d.lo));
    out.constants_.push_back(n ? *n : -1);
  }
  out.groups_ = buffer.groups.empty() ? std::vector<int>(buffer.box.size(), 1) : buffer.groups;
  size_t dim = 0;
  for (int parts : out.groups_) {
    int open = 0;
    for (int i = 0; i < parts; ++i, ++dim) open += out.constants_[dim] < 0;
    if (parts > 1 && open > 1)
      return refuse("one of its axes is made of several dims whose extents are known only with other arrays; fix them");
  }
  if (const ir::Constant* pad = buffer.pad.as<ir::Constant>()) out.pad_ = bits_of(buffer.type, *pad);
  out.text_ = std::string(ir::scalar_type_name(buffer.type)) + " (";
  for (size_t i = 0; i < out.digits_.size(); ++i) {
    const ir::Digit& d = out.digits_[i];
    out.text_ += (i ? ", i" : "i") + std::to_string(d.index);  // names of indices say nothing
    if (d.low > 1) out.text_ += "/" + std::to_string(d.low);
    if (d.size) out.text_ += "%" + std::to_string(d.size);
  }
  out.text_ += ")";
  if (buffer.pad.known()) out.text_ += " with " + ir::print(program, buffer.pad);
  return out;
}

void Packing::write(ByteWriter& out) const {
  out.put(bytes_);
  out.put(pad_);
  out.text(text_);
  out.list(constants_, [&](int64_t n) { out.put(n); });
  out.list(groups_, [&](int n) { out.put(n); });
  out.list(digits_, [&](const ir::Digit& d) {
    out.put(uint64_t{d.index});
    out.put(d.low);
    out.put(d.size);
  });
}

std::optional<Packing> Packing::read(ByteReader& in) {
  Packing p;
  p.bytes_ = in.get<int>();
  p.pad_ = in.get<uint64_t>();
  p.text_ = in.text();
  in.list([&] { p.constants_.push_back(in.get<int64_t>()); });
  in.list([&] { p.groups_.push_back(in.get<int>()); });
  in.list([&] {
    ir::Digit& d = p.digits_.emplace_back();
    d.index = in.get<uint64_t>();
    d.low = in.get<int64_t>();
    d.size = in.get<int64_t>();
  });
  bool good = p.bytes_ == 1 || p.bytes_ == 2 || p.bytes_ == 4 || p.bytes_ == 8;
  size_t dims = 0;
  for (int parts : p.groups_) {
    good &= parts >= 0;
    dims += static_cast<size_t>(parts < 0 ? 0 : parts);
  }
  good &= dims == p.constants_.size();
  std::vector<std::vector<ir::Digit>> own(p.constants_.size());
  for (const ir::Digit& d : p.digits_) {
    good = good && d.index < own.size() && d.low >= 1 && d.size >= 0;
    if (good) own[d.index].push_back(d);
  }
  for (const auto& digits : own) good = good && ir::make_up(digits);
  if (!good || in.broken()) return {};
  return p;
}

bool Packing::extents(const int64_t* axes, std::vector<int64_t>& out) const {
  out.clear();
  size_t dim = 0;
  for (size_t axis = 0; axis < groups_.size(); ++axis) {
    int64_t known = 1;
    for (int i = 0; i < groups_[axis]; ++i)
      if (int64_t n = constants_[dim + static_cast<size_t>(i)]; n >= 0 && groups_[axis] > 1) known *= n;
    for (int i = 0; i < groups_[axis]; ++i, ++dim)
      out.push_back(groups_[axis] == 1     ? axes[axis]
                    : constants_[dim] >= 0 ? constants_[dim]
                    : known                ? axes[axis] / known
                                           : 0);
  }
  return true;
}

bool Packing::elements(const int64_t* axes, int64_t& out) const {
  std::vector<int64_t> dims;
  extents(axes, dims);
  out = 1;
  for (const ir::Digit& d : digits_) {
    const int64_t n = d.size ? d.size : dims[d.index] / d.low + (dims[d.index] % d.low > 0);
    if (__builtin_mul_overflow(out, n, &out)) return false;
  }
  return true;
}

void Packing::pack(const ArrayArg& from, void* to, const Split& split) const {
  std::vector<int64_t> dims, strides(constants_.size());
  extents(from.extents, dims);
  for (size_t axis = groups_.size(), dim = dims.size(); axis-- > 0;) {
    int64_t stride = from.strides[axis];
    for (int i = 0; i < groups_[axis]; ++i) {
      --dim;
      strides[dim] = stride;
      stride *= dims[dim];
    }
  }
  // Where each value of each index goes: the sum over the indices is the place.
  std::vector<std::vector<int64_t>> places(dims.size());
  for (size_t d = 0; d < dims.size(); ++d) places[d].assign(static_cast<size_t>(dims[d]), 0);
  int64_t step = 1, count = 1, packed = 1;
  for (size_t i = digits_.size(); i-- > 0;) {
    const ir::Digit& d = digits_[i];
    for (int64_t x = 0; x < dims[d.index]; ++x) {
      const int64_t value = x / d.low;
      places[d.index][static_cast<size_t>(x)] += step * (d.size ? value % d.size : value);
    }
    step *= d.size ? d.size : (dims[d.index] + d.low - 1) / d.low;
  }
  packed = step;
  for (int64_t n : dims) count *= n;
  auto* out = static_cast<unsigned char*>(to);
  if (packed != count) {
    for (int64_t i = 0; pad_ && i < packed; ++i) std::memcpy(out + i * bytes_, &pad_, static_cast<size_t>(bytes_));
    if (!pad_) std::memset(out, 0, static_cast<size_t>(packed * bytes_));
  }
  if (count == 0) return;
  if (dims.empty()) {
    std::memcpy(out, from.data, static_cast<size_t>(bytes_));
    return;
  }
  const size_t last = dims.size() - 1;
  // A row of the last index, in pieces that stay together on both sides.
  int64_t run = 1;
  if (strides[last] == 1) {
    const auto& p = places[last];
    while (run < dims[last] && p[static_cast<size_t>(run)] == p[0] + run) ++run;
    for (int64_t x = 0; x < dims[last]; ++x)
      if (x % run && p[static_cast<size_t>(x)] != p[static_cast<size_t>(x - 1)] + 1) run = 1;
  }
  int64_t rows = 1;
  for (size_t d = 0; d < last; ++d) rows *= dims[d];
  const auto* data = static_cast<const unsigned char*>(from.data);
  auto row = [&]<class Move>(int64_t first, int64_t end, const Move& move) {
    std::vector<int64_t> at(last, 0);
    for (size_t d = last, rest = static_cast<size_t>(first); d-- > 0;) {
      at[d] = static_cast<int64_t>(rest) % dims[d];
      rest /= static_cast<size_t>(dims[d]);
    }
    for (int64_t r = first; r < end; ++r) {
      int64_t source = 0, place = 0;
      for (size_t d = 0; d < last; ++d) source += at[d] * strides[d], place += places[d][static_cast<size_t>(at[d])];
      move(data + source * bytes_, out + place * bytes_);
      for (size_t d = last; d-- > 0 && ++at[d] == dims[d];) at[d] = 0;
    }
  };
  const std::vector<int64_t>& of_last = places[last];
  const int64_t n = dims[last], stride = strides[last];
  auto each = [&]<class T>(T) {
    return [&](const unsigned char* source, unsigned char* place) {
      for (int64_t x = 0; x < n; ++x)
        std::memcpy(place + of_last[static_cast<size_t>(x)] * static_cast<int64_t>(sizeof(T)),
                    source + x * stride * static_cast<int64_t>(sizeof(T)), sizeof(T));
    };
  };
  auto runs = [&](const unsigned char* source, unsigned char* place) {
    for (int64_t x = 0; x < n; x += run)
      std::memcpy(place + of_last[static_cast<size_t>(x)] * bytes_, source + x * bytes_,
                  static_cast<size_t>(std::min(run, n - x) * bytes_));
  };
  split(rows, [&](int64_t first, int64_t end) {
    if (run > 1) row(first, end, runs);
    else if (bytes_ == 1) row(first, end, each(uint8_t{}));
    else if (bytes_ == 2) row(first, end, each(uint16_t{}));
    else if (bytes_ == 4) row(first, end, each(uint32_t{}));
    else row(first, end, each(uint64_t{}));
  });
}

}  // namespace heddle::jit
