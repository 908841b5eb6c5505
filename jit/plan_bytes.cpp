// A call plan as bytes and back. The reader takes nothing on trust: what it accepts is a plan that can be walked without leaving a table.
#include "jit/plan.h"

namespace heddle::jit {

// A field more of these structs must be written and read here.
static_assert(sizeof(CallPlan) == 8 * 24 + 8, "write and read the new field of CallPlan");
static_assert(sizeof(Packing) == 120, "write and read the new field of Packing");
static_assert(sizeof(CallPlan::ArrayRow) == 32 + 8 + 3 * 24 + sizeof(std::optional<Packing>) + 8,
              "write and read the new field of ArrayRow");
static_assert(sizeof(CallPlan::ScalarRow) == 32 + 16 + 16, "write and read the new field of ScalarRow");

void CallPlan::write(ByteWriter& out) const {
  out.list(symbols_, [&](const ir::SymbolId& s) { out.put(s); });
  out.list(dim_names_, [&](const std::string& s) { out.text(s); });
  out.list(arrays_, [&](const ArrayRow& r) {
    out.text(r.name);
    out.put(r.type);
    out.put(r.role);
    out.put(r.word);
    out.list(r.axes, [&](const IndexCode& c) { c.write(out); });
    out.list(r.simple, [&](int i) { out.put(i); });
    out.list(r.text, [&](const std::string& s) { out.text(s); });
    out.put(r.packing.has_value());
    if (r.packing) r.packing->write(out);
    out.put(r.in_place);
  });
  out.list(scalars_, [&](const ScalarRow& r) {
    out.text(r.name);
    out.put(r.type);
    out.put(r.word);
    out.put(r.has_default);
    out.put(r.default_value.real);
    out.put(r.default_value.integer);
  });
  out.list(dims_, [&](const DimRow& r) {
    out.put(r.array);
    out.put(r.axis);
    out.put(r.simple);
    r.offset.write(out);
    r.divisor.write(out);
    r.value.write(out);
  });
  out.list(dim_words_, [&](int i) { out.put(i); });
  out.list(requirements_, [&](const RequirementRow& r) {
    out.put(r.of_scalars);
    r.condition.write(out);
    out.text(r.text);
  });
  out.list(magnitude_, [&](const MagnitudeRow& r) {
    out.put(r.coefficient);
    out.list(r.dims, [&](int i) { out.put(i); });
  });
  out.put(words_);
}

std::optional<CallPlan> CallPlan::read(ByteReader& in) {
  CallPlan p;
  bool good = true;
  in.list([&] { p.symbols_.push_back(in.get<ir::SymbolId>()); });
  in.list([&] { p.dim_names_.emplace_back(in.text()); });
  const int symbols = static_cast<int>(p.symbols_.size());
  auto code = [&](IndexCode& c) { good &= c.read(in, symbols); };
  in.list([&] {
    ArrayRow r{};
    r.name = in.text();
    r.type = in.get<ir::ScalarType>();
    r.role = in.get<ir::Role>();
    r.word = in.get<int>();
    in.list([&] { code(r.axes.emplace_back()); });
    in.list([&] { r.simple.push_back(in.get<int>()); });
    in.list([&] { r.text.emplace_back(in.text()); });
    if (in.get<bool>()) {
      r.packing = Packing::read(in);
      good = good && r.packing && r.packing->axes() == r.axes.size() && r.role == ir::Role::in;
      p.packs_ = true;
    }
    r.in_place = in.get<uint64_t>();
    good &= r.simple.size() == r.axes.size() && r.text.size() == r.axes.size() && r.word >= 0 &&
            static_cast<uint8_t>(r.type) < static_cast<uint8_t>(ir::ScalarType::index) && r.role <= ir::Role::temporary;
    for (int s : r.simple) good &= s >= -1 && s < symbols;
    p.arrays_.push_back(std::move(r));
  });
  in.list([&] {
    ScalarRow r{};
    r.name = in.text();
    r.type = in.get<ir::ScalarType>();
    r.word = in.get<int>();
    r.has_default = in.get<bool>();
    r.default_value.real = in.get<double>();
    r.default_value.integer = in.get<int64_t>();
    good &= r.word >= 0 && static_cast<uint8_t>(r.type) < static_cast<uint8_t>(ir::ScalarType::index);
    p.scalars_.push_back(std::move(r));
  });
  in.list([&] {
    DimRow r;
    r.array = in.get<int>();
    r.axis = in.get<int>();
    r.simple = in.get<bool>();
    code(r.offset), code(r.divisor), code(r.value);
    good &= r.array >= -1 && r.array < p.array_count();
    good = good && (r.array < 0 || (r.axis >= 0 && r.axis < static_cast<int>(p.arrays_[r.array].axes.size())));
    p.dims_.push_back(std::move(r));
  });
  in.list([&] { p.dim_words_.push_back(in.get<int>()); });
  in.list([&] {
    RequirementRow& r = p.requirements_.emplace_back();
    r.of_scalars = in.get<bool>();
    good &= r.condition.read(in, symbols + (r.of_scalars ? p.scalar_count() : 0));
    r.text = in.text();
  });
  in.list([&] {
    MagnitudeRow& r = p.magnitude_.emplace_back();
    r.coefficient = in.get<double>();
    in.list([&] { r.dims.push_back(in.get<int>()); });
    for (int d : r.dims) good &= d >= 0 && d < symbols;
  });
  p.words_ = in.get<int>();
  good &= p.dims_.size() == p.symbols_.size() && p.dim_names_.size() == p.symbols_.size() &&
          p.dim_words_.size() == p.symbols_.size();
  for (const ArrayRow& r : p.arrays_) good &= r.word + static_cast<int64_t>(r.axes.size()) < p.words_;
  for (const ScalarRow& r : p.scalars_) good &= r.word < p.words_;
  for (int w : p.dim_words_) good &= w >= -1 && w < p.words_;
  if (!good || in.broken()) return {};
  return p;
}

}  // namespace heddle::jit
