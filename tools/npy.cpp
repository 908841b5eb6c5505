#include "tools/npy.h"

#include <algorithm>
#include <cstring>
#include <fstream>

#include "tools/codes.h"

namespace heddle::tools {
namespace {

constexpr int64_t max_bytes = int64_t{1} << 40;

struct Spelling {
  ScalarType type;
  const char* text;
};
// The first spelling of a type is the one written.
constexpr Spelling spellings[] = {
    {ScalarType::f64, "<f8"},  {ScalarType::f32, "<f4"},      {ScalarType::f16, "<f2"},    {ScalarType::i8, "|i1"},
    {ScalarType::i16, "<i2"},  {ScalarType::i32, "<i4"},      {ScalarType::i64, "<i8"},    {ScalarType::u8, "|u1"},
    {ScalarType::u16, "<u2"},  {ScalarType::u32, "<u4"},      {ScalarType::u64, "<u8"},    {ScalarType::boolean, "|b1"},
    {ScalarType::bf16, "<u2"}, {ScalarType::f8e4m3fn, "|u1"}, {ScalarType::f8e4m3, "|u1"}, {ScalarType::f8e5m2, "|u1"},
};

Diagnostic broken(const std::string& path, const std::string& what) {
  return Diagnostic(codes::broken_array, {}, "`" + path + "` " + what);
}

// The value behind `'key':` in the header's dict, up to the comma or brace that ends it; brackets are kept whole.
std::string field(const std::string& header, const std::string& key) {
  size_t at = header.find("'" + key + "'");
  if (at == std::string::npos) return "";
  at = header.find(':', at);
  if (at == std::string::npos) return "";
  size_t begin = header.find_first_not_of(' ', at + 1);
  if (begin == std::string::npos) return "";
  size_t end = header[begin] == '(' ? header.find(')', begin) : header.find_first_of(",}", begin);
  if (end == std::string::npos) return "";
  return header.substr(begin, end - begin + (header[begin] == '(' ? 1 : 0));
}

bool parse_extents(const std::string& text, std::vector<int64_t>& out) {
  if (text.size() < 2 || text.front() != '(') return false;
  int64_t value = -1;
  for (char c : text.substr(1)) {
    if (c >= '0' && c <= '9') {
      if (value > max_bytes) return false;
      value = std::max<int64_t>(value, 0) * 10 + (c - '0');
    } else if (c == ',' || c == ')') {
      if (value >= 0) out.push_back(value);
      value = -1;
    } else if (c != ' ') {
      return false;
    }
  }
  return true;
}

bool byte_count(const Array& a, int64_t& bytes) {
  bytes = ir::scalar_bytes(a.type);
  for (int64_t e : a.extents)
    if (__builtin_mul_overflow(bytes, e, &bytes)) return false;
  return bytes <= max_bytes;
}

void set_strides(Array& a, bool fortran) {
  a.strides.assign(a.extents.size(), 1);
  if (fortran) {
    for (size_t i = 1; i < a.extents.size(); ++i)
      a.strides[i] = a.strides[i - 1] * std::max<int64_t>(a.extents[i - 1], 1);
  } else {
    for (size_t i = a.extents.size(); i-- > 1;) a.strides[i - 1] = a.strides[i] * std::max<int64_t>(a.extents[i], 1);
  }
}

Result<std::string> read_header(std::ifstream& file, const std::string& path) {
  unsigned char magic[8];
  if (!file.read(reinterpret_cast<char*>(magic), 8) || std::memcmp(magic, "\x93NUMPY", 6) != 0)
    return broken(path, "is no .npy file");
  int width = magic[6] == 1 ? 2 : 4;
  unsigned char size[4] = {};
  if (!file.read(reinterpret_cast<char*>(size), width)) return broken(path, "ends in its header");
  uint32_t length = size[0] | size[1] << 8 | size[2] << 16 | static_cast<uint32_t>(size[3]) << 24;
  if (length > (1u << 20)) return broken(path, "has a header of " + std::to_string(length) + " bytes");
  std::string header(length, ' ');
  if (!file.read(header.data(), length)) return broken(path, "ends in its header");
  return header;
}

}  // namespace

Buffer Array::buffer() { return {bytes.data(), type, extents, strides, false}; }

Array Array::zeros(ScalarType type, std::vector<int64_t> extents) {
  Array a;
  a.type = type;
  a.extents = std::move(extents);
  set_strides(a, false);
  int64_t bytes = 0;
  if (byte_count(a, bytes)) a.bytes.resize(bytes);
  return a;
}

Result<Array> read_npy(const std::string& argument) {
  std::string path = argument;
  std::optional<ScalarType> wanted;
  if (size_t colon = argument.rfind(':'); colon != std::string::npos)
    if ((wanted = ir::parse_scalar_type(argument.substr(colon + 1)))) path = argument.substr(0, colon);
  std::ifstream file(path, std::ios::binary);
  if (!file) return broken(path, "cannot be read");
  Result<std::string> header = read_header(file, path);
  if (!header) return header.errors();

  Array a;
  std::string descr = field(*header, "descr");
  if (descr.size() >= 2) descr = descr.substr(1, descr.size() - 2);
  auto row =
      std::find_if(std::begin(spellings), std::end(spellings), [&](const Spelling& s) { return descr == s.text; });
  if (row == std::end(spellings))
    return broken(path, "has elements of dtype `" + descr + "`, which has no element type here");
  a.type = row->type;
  if (wanted && ir::scalar_bytes(*wanted) != ir::scalar_bytes(a.type))
    return broken(path, "has elements of " + std::to_string(ir::scalar_bytes(a.type)) + " bytes, which are no `" +
                            std::string(ir::scalar_type_name(*wanted)) + "`");
  if (wanted) a.type = *wanted;
  if (!parse_extents(field(*header, "shape"), a.extents)) return broken(path, "has no shape in its header");
  set_strides(a, field(*header, "fortran_order") == "True");
  int64_t bytes = 0;
  if (!byte_count(a, bytes)) return broken(path, "is too large");
  // The file must hold what its header promises before memory is taken for it.
  auto start = file.tellg();
  file.seekg(0, std::ios::end);
  if (file.tellg() - start < bytes) return broken(path, "is shorter than its shape says");
  file.seekg(start);
  a.bytes.resize(bytes);
  file.read(reinterpret_cast<char*>(a.bytes.data()), bytes);
  return a;
}

Result<Done> write_npy(const std::string& path, const Array& a) {
  std::string descr;
  for (const Spelling& s : spellings)
    if (s.type == a.type) descr = s.text;
  std::string shape;
  for (int64_t e : a.extents) shape += std::to_string(e) + ",";
  Array rows = {a.type, a.extents, {}, {}};
  set_strides(rows, false);
  std::string order = a.strides == rows.strides ? "False" : "True";  // as it was read
  std::string header = "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': (" + shape + "), }";
  header += std::string(63 - (10 + header.size()) % 64, ' ') + "\n";  // data starts at a multiple of 64
  std::ofstream file(path, std::ios::binary);
  uint16_t length = static_cast<uint16_t>(header.size());
  file << "\x93NUMPY" << '\x01' << '\0' << static_cast<char>(length & 0xFF) << static_cast<char>(length >> 8) << header;
  file.write(reinterpret_cast<const char*>(a.bytes.data()), static_cast<std::streamsize>(a.bytes.size()));
  if (!file.flush()) return broken(path, "cannot be written");
  return Done{};
}

}  // namespace heddle::tools
